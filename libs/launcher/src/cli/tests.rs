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

#[test]
fn one_protocol_is_scored_by_and_its_options_are_its_own() {
    let refused = |words: &str, expected: &str| {
        let error = Cli::try_parse_from(words.split(' ')).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{words}: {error:?}");
    };
    refused("vrft score --json", "required arguments");
    refused("vrft score --per-category", "required arguments");
    refused("vrft score --coco a b --lvis a b", "cannot be used with");
    refused("vrft score --reasonseg a b --per-category", "cannot be used with");
    refused("vrft score --completions a", "--reward");
    refused("vrft score --coco a b --reward c", "cannot be used with");
    refused("vrft score --coco a b --set reward.mode=compat", "cannot be used with");
    refused("vrft segment --json", "required arguments");
    refused("vrft segment --image a", "--boxes");
    refused("vrft segment --image a --boxes 3,2,1,4", "x1,y1,x2,y2");
    refused("vrft segment --predictions a --images b", "--out");
    refused("vrft segment --predictions a --images b --out c --draw d", "cannot be used with");
    refused("vrft segment --image a --boxes 1,2,3,4 --out c", "cannot be used with");
    for fine in [
        "vrft score --coco a b --per-category --json",
        "vrft score --completions a --reward b --set reward.mode=compat",
        "vrft segment --image a --boxes -1,2,3,4 --boxes 5,6,7,8 --draw c --json",
        "vrft segment --predictions a --images b --out c --best-of-three",
    ] {
        assert!(Cli::try_parse_from(fine.split(' ')).is_ok(), "{fine}");
    }
}
