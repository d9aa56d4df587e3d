//! The command line parses, and its help lists every command.

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_listed_once() {
    let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
    listed.sort_unstable();
    let command = Cli::command();
    let mut there: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    there.sort_unstable();
    assert_eq!(listed, there);
    let help = super::command().render_help().to_string();
    assert!(help.contains("Measure:\n  eval ") && help.contains("Options:"), "{help}");
}

#[test]
fn resume_may_name_a_folder() {
    let parse = |words: &[&str]| match Cli::parse_from(words).command {
        Some(Command::Run(options)) => options.resume,
        _ => panic!("expected run"),
    };
    assert_eq!(parse(&["vrft", "run"]), None);
    assert_eq!(parse(&["vrft", "run", "--resume"]), Some(None));
    assert_eq!(parse(&["vrft", "run", "--resume", "out/a"]), Some(Some("out/a".into())));
}
