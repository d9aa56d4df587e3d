//! Tests that need a tool which a machine may lack: without it they are reported as ignored, with the reason.

use std::fmt;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

/// A tool that this machine lacks, and how to provide it.
#[derive(Debug)]
pub struct Absent(String);

impl Absent {
    /// Says what is absent and how to provide it.
    pub fn new(reason: impl Into<String>) -> Absent {
        Absent(reason.into())
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A test: it panics if what it claims is not so.
pub type Test = fn() -> Result<(), Absent>;

/// Runs tests as the built-in harness does, with its arguments and its output.
pub fn run(tests: &[(&'static str, Test)]) -> ExitCode {
    let trials = tests.iter().map(|&(name, test)| {
        Trial::ignorable_test(name, move || {
            Ok(match test() {
                Ok(()) => Completion::Completed,
                Err(absent) => Completion::ignored_with(absent),
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Makes the `main` of a test target without the built-in harness from the names of its tests.
#[macro_export]
macro_rules! tests_that_need_tools {
    ($($test:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::harness::run(&[$((stringify!($test), $test)),+])
        }
    };
}
