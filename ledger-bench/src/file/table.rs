//! What came of a heat, from the fastest to the slowest, as Markdown.

use std::fmt;

use crate::file::heat::Dropout;
use crate::file::racer::{Racer, Side};
use crate::report::Standing;

/// What a lap is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// How many records a second.
    Records,
    /// How many milliseconds it takes to open.
    Opening,
}

/// Everybody's standing in a heat.
pub(crate) struct Table {
    title: String,
    unit: Unit,
    entered: Vec<(Side, Standing)>,
    not_offered: Vec<String>,
    failed: Vec<(String, String)>,
}

impl Table {
    pub(crate) fn new(title: String, unit: Unit) -> Self {
        Self {
            title,
            unit,
            entered: Vec::new(),
            not_offered: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Puts a racer in its place.
    pub(crate) fn enter(&mut self, racer: &Racer, standing: Standing) {
        self.entered.push((racer.side, standing));
        let median = |(_, standing): &(Side, Standing)| standing.median();
        self.entered
            .sort_by(|one, other| median(one).total_cmp(&median(other)));
    }

    /// Notes why a racer has no place.
    pub(crate) fn leave_out(&mut self, racer: &Racer, why: Dropout) {
        match why {
            Dropout::NotOffered => self.not_offered.push(racer.name.clone()),
            Dropout::Failed(error) => self.failed.push((racer.name.clone(), error)),
        }
    }

    fn of(&self, side: Side) -> impl Iterator<Item = &Standing> {
        self.entered
            .iter()
            .filter(move |(of, _)| *of == side)
            .map(|(_, standing)| standing)
    }

    /// Each of ours beside the best peer.
    fn verdicts(&self) -> impl Iterator<Item = String> {
        let best = self.of(Side::Peer).next();
        self.of(Side::Ours).filter_map(move |ours| {
            let best = best?;
            let ratio = best.median() / ours.median();
            let (ours, theirs) = (ours.name(), best.name());
            Some(format!(
                "- {ours} / {theirs}, the best peer: **{ratio:.2}**"
            ))
        })
    }
}

impl Unit {
    fn head(self) -> &'static str {
        match self {
            Self::Records => "| records/s | ns a record | fastest to slowest |",
            Self::Opening => "| opens/s | ms | fastest to slowest |",
        }
    }

    fn cells(self, standing: &Standing) -> String {
        let [median, fastest, slowest] =
            [standing.median(), standing.fastest(), standing.slowest()];
        let rate = 1e9 / median;
        match self {
            Self::Records => format!("{rate:.0} | {median:.0} | {fastest:.0} to {slowest:.0}"),
            Self::Opening => {
                let [median, fastest, slowest] = [median, fastest, slowest].map(|ns| ns / 1e6);
                format!("{rate:.0} | {median:.3} | {fastest:.3} to {slowest:.3}")
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {}", self.unit.head())?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for (side, standing) in &self.entered {
            let name = match side {
                Side::Ours => format!("**{}**", standing.name()),
                Side::Bare | Side::Peer => standing.name().to_owned(),
            };
            writeln!(f, "| {name} | {} |", self.unit.cells(standing))?;
        }
        writeln!(f)?;
        for verdict in self.verdicts() {
            writeln!(f, "{verdict}")?;
        }
        if !self.not_offered.is_empty() {
            writeln!(f, "- Not offered: {}.", self.not_offered.join(", "))?;
        }
        for (name, error) in &self.failed {
            writeln!(f, "- {name} failed: {error}")?;
        }
        Ok(())
    }
}
