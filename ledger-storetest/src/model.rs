//! Random histories, compared step by step with a model of the contract.
//!
//! The model is as simple as it can be, and shares no code with a store. Histories are random and long, over few
//! names, keys and times, so that rare combinations come up; one that ends in a wrong answer is cut down to a short
//! one before it is shown. `LEDGER_MODEL_CASES` sets how many histories are played, and `LEDGER_MODEL_SEED` plays
//! those of a certain seed again.

mod answer;
mod ideal;
mod log;
mod operation;
mod player;
mod strategies;

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::place::{Place, not_applicable};
use player::play;

/// How many histories are played unless the environment says otherwise.
const CASES: u32 = 48;

/// For how long a wrong history is cut down, at most.
const SHRINK_MS_MAX: u32 = 30_000;

/// All clauses together: whatever is asked in whatever order, the store answers what the contract says.
pub(crate) async fn every_clause_random_histories_agree_with_the_model(place: Place) {
    if !place.open().await.capabilities().dense_ids {
        not_applicable("the model counts ids from one");
        return;
    }
    let cases = from_environment("LEDGER_MODEL_CASES").unwrap_or(CASES);
    let seed = from_environment("LEDGER_MODEL_SEED").unwrap_or_else(random_seed);
    if let Err(counterexample) = search(&place, cases, seed) {
        panic!(
            "the store and the model differ (LEDGER_MODEL_SEED={seed} LEDGER_MODEL_CASES={cases}):\n{counterexample}"
        );
    }
}

/// Plays random histories, and cuts the first wrong one down.
fn search(place: &Place, cases: u32, seed: u64) -> Result<(), String> {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_time: SHRINK_MS_MAX,
        max_shrink_iters: u32::MAX - 1,
        ..Config::default()
    };
    let found = block_in_place(|| {
        TestRunner::new(config).run(&strategies::histories(), |history| {
            let game = async { play(place.another().await, history).await };
            Handle::current()
                .block_on(game)
                .map_err(TestCaseError::fail)
        })
    });
    found.map_err(|error| match error {
        TestError::Abort(reason) => reason.message().to_owned(),
        TestError::Fail(reason, history) => {
            format!("{reason}\n  in a history of {} steps", history.len())
        }
    })
}

fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A number that the environment may give.
fn from_environment<N: FromStr<Err: Display>>(variable: &str) -> Option<N> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text:?}: {error}")),
    )
}
