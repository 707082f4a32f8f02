//! Models of the moments that a recovered log may be in, when it looks the same in several of them.
//!
//! Nobody sees whether an expired entry that takes no bytes was purged, but the next purge counts it. So the log is held
//! to what one and the same of the models answers, call by call.

use std::sync::Arc;

use ledger_core::{ManualClock, MemoryStore};

use super::call::{Answer, Call};
use super::observed::Observed;
use super::played::{Finding, compare, new_model, tick};

/// The models that have answered like the log so far.
pub(crate) struct Models(Vec<Model>);

/// One model, and the clock that it goes by.
pub(crate) struct Model {
    pub(crate) store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Models {
    /// Models on which as many of the `calls` were played as `lengths` tell, for as long as they look like the first one.
    pub(crate) fn alike(calls: &[Call], lengths: impl Iterator<Item = usize>) -> Self {
        let mut models = lengths.map(|length| Model::lacking(calls, length));
        let first = models.next();
        let shown = first.as_ref().map(Model::show);
        let alike = models.take_while(|model| Some(model.show()) == shown);
        Self(first.into_iter().chain(alike).collect())
    }

    /// Plays `call`, to which the log answered `got`, and goes on with the models that answer the same.
    pub(crate) fn expect(&mut self, call: &Call, got: &[Answer]) -> Result<(), Finding> {
        let mut first_finding = None;
        self.0.retain(|model| match model.expect(call, got) {
            Ok(()) => true,
            Err(finding) => {
                first_finding.get_or_insert(finding);
                false
            }
        });
        match first_finding {
            Some(finding) if self.0.is_empty() => Err(finding),
            _ => Ok(()),
        }
    }

    /// What the models show, each for itself.
    pub(crate) fn show(&self) -> Vec<Observed> {
        self.0.iter().map(Model::show).collect()
    }
}

impl Model {
    /// The one that these calls were made of.
    pub(crate) fn of(calls: &[Call]) -> Self {
        let (store, clock) = new_model();
        for call in calls {
            tick(call, &clock);
            call.play_slowly(&store, || {});
        }
        Self { store, clock }
    }

    /// Of the calls from `length` on, it knows but the time that passed.
    fn lacking(calls: &[Call], length: usize) -> Self {
        let (made, lacking) = calls.split_at(length);
        let model = Self::of(made);
        lacking.iter().for_each(|call| tick(call, &model.clock));
        model
    }

    fn expect(&self, call: &Call, got: &[Answer]) -> Result<(), Finding> {
        tick(call, &self.clock);
        compare(call, got, &call.play_slowly(&self.store, || {}))
    }

    pub(crate) fn show(&self) -> Observed {
        Observed::of(&self.store).expect("the model answers")
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, NewEntry, Payload, StreamName, Timestamp};

    use super::*;

    fn stream() -> StreamName {
        "orders".into()
    }

    fn purge(models: &mut Models, got: &str) -> Result<(), Finding> {
        models.expect(&Call::PurgeExpired(stream()), &[Ok(got.into())])
    }

    /// Calls of which the last is a purge of an expired entry without bytes.
    fn calls() -> [Call; 2] {
        let expired = NewEntry::new(Payload::octets("")).expires_at(Timestamp::from_micros(0));
        let batch = Batch::new(stream(), vec![expired]);
        [Call::Append(vec![batch]), Call::PurgeExpired(stream())]
    }

    #[test]
    fn a_purge_that_nobody_sees_may_have_been_lost_or_not() {
        for removed in ["0", "1"] {
            purge(&mut Models::alike(&calls(), [2, 1].into_iter()), removed).unwrap();
        }
    }

    #[test]
    fn what_was_lost_does_not_come_back() {
        let mut models = Models::alike(&calls(), [2, 1].into_iter());
        purge(&mut models, "0").unwrap();
        purge(&mut models, "1").unwrap_err();
    }

    #[test]
    fn a_moment_that_looks_different_is_none_of_them() {
        let models = Models::alike(&calls(), [2, 1, 0].into_iter());
        assert_eq!(models.show().len(), 2);
    }
}
