//! What may have become of a call whose outcome nobody knows.
//!
//! One of several appends under way together may have been refused on the way, by a segment that could not be made, while
//! the others waited for a sync that failed: all are told the same then. So each append that nobody knows of has happened
//! or not, and the rest goes on without it; but they happen in their order, and what was answered is true of each course.

use ledger_core::Error;

use super::call::{Answer, Call, is_failure};
use super::models::Model;
use super::observed::Observed;
use super::played::{Finding, is_same};

/// One way in which a call may have gone.
pub(crate) struct Course {
    /// What can be seen before it, and after each of its parts.
    moments: Vec<Observed>,
    /// How many of its parts were acknowledged, so that they are never lost.
    acknowledged: usize,
}

/// All courses of `call` that the `answers` leave open, after the calls that were `made`: the one in which all of it has
/// happened first.
pub(crate) fn courses(
    made: &[Call],
    call: &Call,
    answers: &[Answer],
) -> impl Iterator<Item = Result<Course, Finding>> {
    let courses = kept(answers).into_iter();
    courses.map(|kept| {
        let answers: Vec<_> = kept.iter().map(|index| &answers[*index]).collect();
        Course::new(made, &part(call, &kept), &answers)
    })
}

impl Course {
    /// The one in which all of `call` has happened.
    fn new(made: &[Call], call: &Call, answers: &[&Answer]) -> Result<Self, Finding> {
        let model = Model::of(made);
        let mut moments = vec![model.show()];
        let expected = call.play_slowly(&model.store, || moments.push(model.show()));
        let is_known = |answer: &Answer| !is_failure(answer);
        let mut pairs = answers.iter().zip(&expected);
        match pairs.find(|(got, expected)| is_known(got) && !is_same(got, expected)) {
            Some((got, expected)) => Err(format!("answered {got:?}, not {expected:?}")),
            None => Ok(Self {
                moments,
                acknowledged: answers.iter().take_while(|got| is_known(got)).count(),
            }),
        }
    }

    /// What is seen until the log is opened again.
    pub(crate) fn shown(&self) -> &Observed {
        &self.moments[self.acknowledged]
    }

    /// What may be found afterwards.
    pub(crate) fn possible(&self) -> &[Observed] {
        &self.moments[self.acknowledged..]
    }
}

/// Which of the answers are those of a course, for each. What was refused has not happened in any.
fn kept(answers: &[Answer]) -> Vec<Vec<usize>> {
    let mut courses = vec![Vec::new()];
    for (index, answer) in answers.iter().enumerate() {
        let without = courses.clone();
        if is_poison(answer) || !is_failure(answer) {
            courses.iter_mut().for_each(|kept| kept.push(index));
        }
        if is_poison(answer) {
            courses.extend(without);
        }
    }
    courses
}

/// The call without the appends that are not kept.
fn part(call: &Call, kept: &[usize]) -> Call {
    match call {
        Call::Append(batches) => {
            Call::Append(kept.iter().map(|index| batches[*index].clone()).collect())
        }
        other => other.clone(),
    }
}

pub(crate) fn is_poison(answer: &Answer) -> bool {
    matches!(
        answer,
        Err(Error::Poisoned { .. } | Error::OutcomeUnknown { .. })
    )
}
