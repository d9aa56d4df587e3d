//! `vrft`: runs training graphs with dora's own daemon embedded, and looks after what they leave behind.

mod ask;
mod bench;
mod check;
mod check_data;
mod checkpoint;
mod cli;
mod compile;
mod config;
mod difference;
mod doctor;
mod evaluate;
mod fingerprint;
mod graph;
mod listen;
mod lock;
mod meta;
mod new;
mod origin;
mod outcome;
mod print;
mod probe;
mod progress;
mod puzzles;
mod quantize;
mod resume;
mod retrieve;
mod rewards;
mod run;
mod run_dir;
mod score;
mod segment;
mod serve;
mod table;
mod tune;

use clap::FromArgMatches;
use vrft_export::Storage;
use vrft_model::Policy;

use crate::cli::{Cli, Command, GgufType};
use crate::print::say;

fn main() -> std::process::ExitCode {
    match start() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", print::error(&error).replace('\n', "\n  "));
            std::process::ExitCode::FAILURE
        }
    }
}

fn start() -> eyre::Result<()> {
    let matches = cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches)?;
    match cli.command.unwrap_or_default() {
        Command::Run(options) => run::run(&options),
        Command::New(options) => new::new(&options),
        Command::Check(options) => check::check(&options),
        Command::Eval(options) => evaluate::evaluate(&options),
        Command::Table(options) => table::table(&options),
        Command::Tune(options) => tune::tune(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Score(options) => {
            say!("{}", score::score(&options)?);
            Ok(())
        }
        Command::Retrieve(options) => retrieve::retrieve(&options),
        Command::Puzzles(options) => puzzles::puzzles(&options),
        Command::Meta(options) => meta::meta(&options),
        Command::Reward(command) => rewards::reward(&command),
        Command::Doctor { run } => doctor::doctor(run.as_deref()),
        Command::Report { run } => {
            say!("{}", vrft_report::write_report(&run)?.display());
            Ok(())
        }
        Command::Ask(options) => ask::ask(&options),
        Command::Segment(options) => segment::segment(&options),
        Command::Serve(options) => listen::serve(&options),
        Command::Promote(options) => {
            say!("{}", serve::promote(&options, &serve::check, &serve::judge)?);
            Ok(())
        }
        Command::Rollback { served } => {
            say!("{}", serve::rollback(&served)?);
            Ok(())
        }
        Command::Init { checkpoint, seed, dtype } => {
            Ok(Policy::initialize(&checkpoint, seed, dtype.into())?)
        }
        Command::Probe(options) => probe::probe(&options),
        Command::Merge { adapter, out, loading, dtype } => {
            checkpoint::merge(&adapter, &loading, &out, dtype.map(Into::into))
        }
        Command::Quantize { checkpoint, out, loading, dtype } => {
            quantize::quantize(&checkpoint, &loading, &out, dtype.into())
        }
        Command::Export { checkpoint, out, loading, gguf, pre } => {
            let folder = tempfile::tempdir()?;
            let checkpoint = loading.whole(&checkpoint, folder.path())?;
            let storage = match gguf {
                GgufType::F16 => Storage::F16,
                GgufType::Q8_0 => Storage::Q8_0,
            };
            let files = vrft_export::export_gguf(&checkpoint, &out, storage, pre.as_deref())?;
            say!("{}\n{}", files.text.display(), files.tower.display());
            if let Some(first) = files.larger.first() {
                say!(
                    "{} tensors are stored as f16, since their rows are no multiples of 32 weights, as q8_0 needs: {first}{}",
                    files.larger.len(),
                    if files.larger.len() > 1 { ", ..." } else { "" }
                );
            }
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "vrft", &mut script);
            print::text(&String::from_utf8_lossy(&script));
            Ok(())
        }
    }
}
