//! What came of a race: medians, and what was expected of them, as Markdown.

use std::fmt;

use crate::race::Number;

/// What is expected of the medians of a race.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// `ours` is at least this many times as fast as `theirs`.
    Ratio {
        ours: Number,
        theirs: Number,
        at_least: f64,
    },
    /// `whole` costs less than this beyond its two `parts`, in nanoseconds an entry.
    Overhead {
        whole: Number,
        parts: [Number; 2],
        ns_below: f64,
    },
}

/// One contestant's rounds, in nanoseconds an entry, from the fastest to the slowest.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    name: String,
    laps: Vec<f64>,
}

impl Standing {
    /// Sorts the laps of a contestant, of which there is at least one.
    pub(crate) fn new(name: impl Into<String>, mut laps: Vec<f64>) -> Self {
        laps.sort_by(f64::total_cmp);
        let name = name.into();
        Self { name, laps }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn median(&self) -> f64 {
        let (low, high) = ((self.laps.len() - 1) / 2, self.laps.len() / 2);
        f64::midpoint(self.laps[low], self.laps[high])
    }

    pub(crate) fn fastest(&self) -> f64 {
        self.laps[0]
    }

    pub(crate) fn slowest(&self) -> f64 {
        self.laps[self.laps.len() - 1]
    }
}

/// A race that was run.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    standings: Vec<Standing>,
    claims: Vec<Claim>,
}

impl Report {
    pub(crate) fn new(title: String, standings: Vec<Standing>, claims: Vec<Claim>) -> Self {
        Self {
            title,
            standings,
            claims,
        }
    }

    fn of(&self, number: Number) -> &Standing {
        &self.standings[number.0]
    }

    fn judge(&self, claim: Claim) -> Verdict {
        match claim {
            Claim::Ratio {
                ours,
                theirs,
                at_least,
            } => {
                let ratio = self.of(theirs).median() / self.of(ours).median();
                Verdict {
                    what: format!("{} / {}", self.of(ours).name, self.of(theirs).name),
                    measured: format!("{ratio:.2}"),
                    target: format!("at least {at_least:.2}"),
                    met: ratio >= at_least,
                }
            }
            Claim::Overhead {
                whole,
                parts,
                ns_below,
            } => {
                let of_parts: f64 = parts.iter().map(|part| self.of(*part).median()).sum();
                let overhead = self.of(whole).median() - of_parts;
                let [first, second] = parts.map(|part| self.of(part).name());
                Verdict {
                    what: format!("{} beyond {first} and {second}", self.of(whole).name),
                    measured: format!("{overhead:.0} ns"),
                    target: format!("below {ns_below:.0} ns"),
                    met: overhead < ns_below,
                }
            }
        }
    }
}

/// A claim beside what was measured.
#[derive(Debug)]
struct Verdict {
    what: String,
    measured: String,
    target: String,
    met: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(
            f,
            "| {:<36} |  entries/s | ns an entry | fastest to slowest |",
            ""
        )?;
        writeln!(
            f,
            "| {:-<36} | ---------: | ----------: | -----------------: |",
            ""
        )?;
        for standing in &self.standings {
            writeln!(f, "{standing}")?;
        }
        writeln!(f)?;
        for claim in &self.claims {
            writeln!(f, "{}", self.judge(*claim))?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, median) = (&self.name, self.median());
        let range = format!("{:.0} to {:.0}", self.fastest(), self.slowest());
        write!(
            f,
            "| {name:<36} | {:>10.0} | {median:>11.0} | {range:>18} |",
            1e9 / median
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.met { "met" } else { "missed" };
        let Self {
            what,
            measured,
            target,
            ..
        } = self;
        write!(f, "- {what}: **{measured}** ({target}: {verdict})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let standings = vec![
            Standing::new("ours", vec![30.0, 10.0, 20.0]),
            Standing::new("theirs", vec![18.0, 14.0]),
            Standing::new("parts", vec![1.0]),
        ];
        Report::new("a race".into(), standings, Vec::new())
    }

    #[test]
    fn an_odd_number_of_laps_has_its_middle_one_as_median() {
        assert_eq!(report().of(Number(0)).median(), 20.0);
    }

    #[test]
    fn an_even_number_of_laps_has_its_median_between_the_middle_two() {
        assert_eq!(report().of(Number(1)).median(), 16.0);
    }

    #[test]
    fn a_ratio_is_that_of_the_rates() {
        let claim = |at_least| Claim::Ratio {
            ours: Number(0),
            theirs: Number(1),
            at_least,
        };
        assert_eq!(
            report().judge(claim(0.8)).to_string(),
            "- ours / theirs: **0.80** (at least 0.80: met)"
        );
        assert!(!report().judge(claim(0.81)).met);
    }

    #[test]
    fn an_overhead_is_what_the_parts_leave_over() {
        let claim = |ns_below| Claim::Overhead {
            whole: Number(0),
            parts: [Number(1), Number(2)],
            ns_below,
        };
        assert_eq!(
            report().judge(claim(4.0)).to_string(),
            "- ours beyond theirs and parts: **3 ns** (below 4 ns: met)"
        );
        assert!(!report().judge(claim(3.0)).met);
    }
}
