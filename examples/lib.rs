//! Small programs, each of which teaches one thing and checks its own result.
//!
//! - `quickstart`: the program of the README.
//! - `flights`: a day, or a year, of real flights from a file into SQLite, or Postgres, and back.
//! - `race`: optimistic concurrency; what to do about a conflict.
//! - `upcast`: reading old events after their type has changed.
//! - `follow`: history, then live, and going on at the same place after a restart.

#[cfg(test)]
mod tests {
    const README: &str = include_str!("../README.md");
    const QUICKSTART: &str = include_str!("quickstart.rs");

    #[test]
    fn the_readme_shows_the_quickstart_as_it_is() {
        let (_module_docs, program) = QUICKSTART
            .split_once("\n\n")
            .expect("the file opens with its docs");
        assert!(README.contains(&format!("```rust\n{program}```")));
    }
}
