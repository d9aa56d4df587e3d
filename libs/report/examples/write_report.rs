//! Writes the report of a run folder again: `cargo run --release -p vrft-report --example write_report -- out/my-run`.

use std::path::Path;

use vrft_report::ReportError;

fn main() -> Result<(), ReportError> {
    let run_dir = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    vrft_report::write_report(Path::new(&run_dir))?;
    Ok(())
}
