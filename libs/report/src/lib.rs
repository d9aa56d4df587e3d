//! What a run achieved, for people: `report.html`, the comparison table, tables over shots and seeds.
//!
//! Everything is read from the files of a run folder; a file that is absent or torn costs its section of the
//! report and nothing else. The page needs no script, no network and no second file.

mod appendix;
mod axis;
mod best;
mod chart;
mod comparison;
mod curves;
mod data;
mod diagnosis;
mod difference;
mod environment;
mod error;
mod estimate;
mod evaluation;
mod frame;
mod gallery;
mod headline;
mod histogram;
mod html;
mod interval;
mod label;
mod live;
mod load;
mod metrics;
mod number;
mod outcome;
mod page;
mod prediction;
mod results;
mod seconds;
mod smooth;
mod span;
mod student;
mod teams;
mod timeline;
mod trials;

pub use best::{BestPolicy, best_policies};
pub use comparison::{Comparison, ComparisonCell, ComparisonRow, comparison};
pub use data::data_warnings;
pub use diagnosis::{
    History, Problem, RunFacts, TermFacts, TermRole, Verdict, Watch, diagnose, diagnose_run,
};
pub use difference::Difference;
pub use error::ReportError;
pub use live::live_answers;
pub use page::write_report;
pub use results::{
    EqualShots, MeetingShots, PairedDifference, Part, PublishedNumber, ResultCell, ResultRow,
    ResultRun, Results, ResultsHead, ShotFits, ShotLine, join_results, write_results,
};
pub use student::{mean_interval, student_t_975};
pub use trials::{Rung, TrialRow, Tuning, write_tuning};
