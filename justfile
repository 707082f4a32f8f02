# Lists the recipes.
default:
    @just --list

# Runs all tests and doc tests: `just test`, `just test -p ledger-core`.
test *args:
    scripts/test {{ args }}

# Checks format and lints, as CI does.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Builds the documentation and opens it.
doc:
    cargo doc --workspace --no-deps --locked --open

# Races the stores against bare engines.
bench *args:
    cargo run --release --locked -p ledger-bench -- {{ args }}

# Races the file log against bare files and published logs, which are built first; about an hour.
bench-file *args:
    cargo build --release --locked --manifest-path ledger-bench/peers/Cargo.toml --target-dir target/peers
    cargo run --release --locked -p ledger-bench -- file-append file-durable file-read file-reopen file-damage file-flights file-scale --peers target/peers/release/ledger-bench-peers {{ args }}

# Runs an example: `just example flights`.
example name *args:
    cargo run --release --locked --example {{ name }} -- {{ args }}

# Runs everything that CI runs.
ci:
    .ci/run
