//! Plays a history: the store and the model side by side, compared after every step.

use std::sync::Arc;

use ledger_core::{Error, ManualClock, ReadOptions, SharedStore, StreamName};

use super::answer::{Answer, ask};
use super::ideal::Ideal;
use super::operation::{Operation, Step};
use super::strategies::{CHECKPOINTS, PAYLOAD_BYTES_MAX, STREAMS};
use crate::fixture::{START, clock};
use crate::harness::Setup;
use crate::place::Place;

/// Plays `history` at a fresh place, then reads everything back through every opening.
///
/// # Errors
/// The operations up to the first wrong answer, with it and the right one.
pub(super) async fn play(place: Place, history: Vec<Step>) -> Result<(), String> {
    let mut game = Game::begin(place).await;
    for Step { opening, operation } in history {
        let opening = opening % game.openings.len();
        game.play(opening, operation.aimed(&game.ideal)).await?;
    }
    for opening in 0..game.openings.len() {
        for question in last_questions() {
            game.compare(opening, &question).await?;
        }
    }
    Ok(())
}

struct Game {
    place: Place,
    setup: Setup,
    clock: Arc<ManualClock>,
    openings: Vec<SharedStore<u64>>,
    ideal: Ideal,
    transcript: String,
}

impl Game {
    async fn begin(place: Place) -> Self {
        let clock = clock();
        let mut setup = Setup {
            clock: clock.clone(),
            ..Setup::default()
        };
        setup.limits.payload_bytes_max = PAYLOAD_BYTES_MAX;
        let mut openings = vec![place.open_with(setup.clone()).await];
        let capabilities = openings[0].capabilities().clone();
        if capabilities.shared {
            openings.push(place.open_with(setup.clone()).await);
        }
        Self {
            place,
            setup,
            clock,
            openings,
            ideal: Ideal::new(capabilities, START),
            transcript: String::new(),
        }
    }

    /// Plays one operation, unless the store may keep its caller waiting for it.
    async fn play(&mut self, opening: usize, operation: Operation) -> Result<(), String> {
        if self.ideal.would_sleep(&operation) {
            return Ok(());
        }
        if let Operation::Wait(stream, _) = &operation {
            // A store that is wrong about its head might wait for ever.
            self.compare(opening, &Operation::Stat(stream.clone()))
                .await?;
        }
        let told = self.compare(opening, &operation).await?;
        self.transcript += &told;
        Ok(())
    }

    /// Asks the store and the model, and tells of it if they agree.
    async fn compare(&mut self, opening: usize, operation: &Operation) -> Result<String, String> {
        let answer = self.answer(opening, operation).await;
        let expected = self.ideal.answers(operation, &answer);
        let told = format!("  opening {opening}: {operation:?}\n    {answer:?}\n");
        if expected.contains(&answer) {
            return Ok(told);
        }
        Err(format!(
            "{}{told}  but the contract says\n    {}",
            self.transcript,
            either(&expected)
        ))
    }

    async fn answer(&mut self, opening: usize, operation: &Operation) -> Answer {
        match operation {
            Operation::MoveClock(micros) => self.clock.set(self.ideal.move_clock(*micros)),
            Operation::Reopen => return self.reopen(opening).await,
            call => return ask(&self.openings[opening], call.clone()).await,
        }
        Answer::Done
    }

    /// Closes an opening, makes sure that it is, and replaces it.
    async fn reopen(&mut self, opening: usize) -> Answer {
        let closing = self.openings[opening].close().await;
        let afterwards = ask(&self.openings[opening], Operation::Stat(STREAMS[0].into())).await;
        self.openings[opening] = self.place.open_with(self.setup.clone()).await;
        match closing {
            Ok(()) if afterwards != Error::Closed.into() => afterwards,
            Ok(()) => Answer::Done,
            Err(error) => error.into(),
        }
    }
}

fn either(answers: &[Answer]) -> String {
    let answers: Vec<_> = answers.iter().map(|answer| format!("{answer:?}")).collect();
    answers.join("\n    or ")
}

/// Everything there is to see of every stream.
fn last_questions() -> Vec<Operation> {
    let mut questions = vec![Operation::List(None, usize::MAX)];
    for stream in STREAMS.map(StreamName::from) {
        let everything = ReadOptions::new().limit(usize::MAX).with_tombstones();
        questions.push(Operation::Stat(stream.clone()));
        questions.push(Operation::Read(stream.clone(), everything.clone()));
        questions.push(Operation::Read(stream.clone(), everything.descending()));
        questions.push(Operation::ListCheckpoints(stream.clone(), None, usize::MAX));
        questions
            .extend(CHECKPOINTS.map(|name| Operation::LoadCheckpoint(stream.clone(), name.into())));
    }
    questions
}
