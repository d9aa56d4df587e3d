//! `vrft`: runs training graphs with dora's own daemon embedded, and looks after what they leave behind.
#![expect(clippy::print_stdout, reason = "a command-line tool talks to its user on stdout")]

mod bench;
mod check;
mod check_data;
mod cli;
mod compile;
mod config;
mod doctor;
mod evaluate;
mod few_shot;
mod graph;
mod outcome;
mod probe;
mod progress;
mod rewards;
mod run;
mod run_dir;
mod score;
mod serve;

use std::path::Path;

use candle_core::{DType, Device};
use clap::{CommandFactory, Parser};
use vrft_model::{LoadOptions, Policy};

use crate::cli::{Cli, Command};

fn main() -> std::process::ExitCode {
    match start() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", chain.join("\n  "));
            std::process::ExitCode::FAILURE
        }
    }
}

fn start() -> eyre::Result<()> {
    let cli = Cli::parse();
    match cli.command.unwrap_or_default() {
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::check(&options),
        Command::Eval(options) => evaluate::evaluate(&options),
        Command::FewShot(options) => few_shot::few_shot(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Score(options) => {
            println!("{}", score::score(&options)?);
            Ok(())
        }
        Command::Reward(command) => rewards::reward(&command),
        Command::Doctor { run } => doctor::doctor(run.as_deref()),
        Command::Report { run } => {
            println!("{}", vrft_report::write_report(&run)?.display());
            Ok(())
        }
        Command::Promote { run, label, served } => {
            println!("{}", serve::promote(&run, &label, &served)?);
            Ok(())
        }
        Command::Rollback { served } => {
            println!("{}", serve::rollback(&served)?);
            Ok(())
        }
        Command::Init { checkpoint, seed, dtype } => {
            Ok(Policy::initialize(&checkpoint, seed, dtype.into())?)
        }
        Command::Probe(options) => probe::probe(&options),
        Command::Merge { adapter, out, dtype } => merge(&adapter, &out, dtype.into()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "vrft", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn merge(adapter: &Path, out: &Path, dtype: DType) -> eyre::Result<()> {
    let options = LoadOptions {
        dtype: DType::F32,
        device: Device::Cpu,
        trainable: false,
        freeze_vision: false,
        lora: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    };
    Ok(Policy::load(adapter, &options)?.save_merged(out, dtype)?)
}
