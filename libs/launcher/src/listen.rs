//! `vrft serve`: a policy behind the OpenAI-compatible chat endpoint, with a page for a browser.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure};
use vrft_answer::{AnswerError, Follower, Target};
use vrft_serve::{Limits, Options, Server};

use crate::ask;
use crate::cli::{PolicyOptions, ServeOptions};
use crate::print::say;

/// Serves until it is stopped.
pub(crate) fn serve(options: &ServeOptions) -> eyre::Result<()> {
    let token = options.token.clone();
    let is_empty = token.as_ref().is_some_and(String::is_empty);
    ensure!(
        !is_empty,
        "--token or VRFT_TOKEN: expected a word, got none; without either, no token is asked for"
    );
    ensure!(options.queue > 0, "--queue: expected 1 or more questions that may wait");
    let answerer = ask::load(&options.policy)?;
    let (most, usual) = (options.max_tokens, answerer.settings().answer.max_tokens);
    ensure!(
        usual <= most,
        "--max-tokens {most}: expected at least answer.max_tokens, {usual}, which an answer may have that asks for nothing else"
    );
    let follower = (options.policy.checkpoint == "promoted").then(|| {
        // What another run has made is asked as that run's task wants it.
        let policy = options.policy.clone();
        let settings_of =
            move |target: &Target| Ok(ask::settings(&policy, target)?) as Result<_, AnswerError>;
        Follower::promoted(&answerer, Box::new(settings_of))
    });
    let version = answerer.version().to_owned();
    let served = Options {
        address: SocketAddr::new(options.host, options.port),
        token,
        queue: options.queue,
        request_bytes: options.max_request_mib << 20,
        limits: Limits {
            pictures: options.max_pictures,
            pixels: options.max_megapixels * 1_000_000,
            tokens: options.max_tokens,
        },
        corrections: options.corrections.clone(),
        report: report(options)?,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.wrap_err("cannot start the server")?.block_on(async {
        let server = Server::listen(served, answerer, follower).await?;
        let address = server.address();
        say!("Serving {version} at http://{address}/ (the page) and http://{address}/v1 (OpenAI's API). Ctrl-C ends it.");
        say!("{}", hint(&options.corrections)?);
        tokio::select! {
            () = server.run() => Ok(()),
            stopped = tokio::signal::ctrl_c() => stopped.wrap_err("cannot wait for Ctrl-C"),
        }
    })
}

/// How to learn from what is said of answers, wherever `vrft run` is called and the graph lies.
fn hint(corrections: &Path) -> eyre::Result<String> {
    let rows = std::path::absolute(corrections.join("rows.jsonl"))
        .wrap_err_with(|| format!("--corrections {corrections:?}"))?;
    let named = format!("data.train={}", toml::Value::String(rows.display().to_string()));
    let named =
        shlex::try_quote(&named).wrap_err_with(|| format!("--corrections {corrections:?}"))?;
    Ok(format!(
        "What is said of answers on the page becomes {}, with places in thousandths: --set {named} --set \
         data.space=thousandths learns from it; say with evaluation.space what the held-out rows count.",
        rows.display()
    ))
}

/// The report of the run that made the policy, be it there yet or not. That of a promoted policy lies beside it.
fn report(options: &ServeOptions) -> eyre::Result<Option<PathBuf>> {
    let PolicyOptions { checkpoint, loading, .. } = &options.policy;
    let served = &loading.served;
    let folder = if checkpoint == "promoted" {
        Some(served.join(vrft_answer::CURRENT))
    } else {
        let target = Target::find(checkpoint, served)?;
        target.config.as_deref().and_then(Path::parent).map(Path::to_owned)
    };
    Ok(folder.map(|folder| folder.join("report.html")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_corrections_are_named_so_that_they_are_found_from_everywhere() {
        let here = std::env::current_dir().unwrap();
        let told = hint(Path::new("out/it is right")).unwrap();
        let rows = here.join("out/it is right/rows.jsonl").display().to_string();
        assert!(
            told.contains(&format!("--set 'data.train=\"{rows}\"' --set data.space")),
            "{told}"
        );
    }
}
