//! `vrft table --join`: what earlier tables wrote, as one.

use std::path::Path;

use vrft_report::{Part, join_results, write_results};

use super::show;
use crate::cli::TableOptions;
use crate::run::command_line;

/// Writes the joined tables into `--out`; nothing is run.
pub(super) fn join(options: &TableOptions) -> eyre::Result<()> {
    let parts: Vec<Part> = options.join.iter().map(|part| parse(part)).collect();
    let joined = join_results(&parts, &command_line())?;
    std::fs::create_dir_all(&options.out)?;
    write_results(&joined, &options.out)?;
    show(&joined, options);
    Ok(())
}

/// `FILE` or `NAME=FILE`. A path with `=` in a folder's name is a path.
fn parse(part: &str) -> Part {
    match part.split_once('=') {
        Some((label, path)) if !label.contains('/') && !Path::new(part).exists() => {
            Part { path: path.into(), label: Some(label.to_owned()) }
        }
        _ => Part { path: part.into(), label: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_the_file() {
        let part = |path: &str, label: Option<&str>| Part {
            path: path.into(),
            label: label.map(str::to_owned),
        };
        assert_eq!(parse("out/a/table.json"), part("out/a/table.json", None));
        assert_eq!(parse("chord=out/b/table.json"), part("out/b/table.json", Some("chord")));
        assert_eq!(parse("out/mu=0.1/table.json"), part("out/mu=0.1/table.json", None));
    }
}
