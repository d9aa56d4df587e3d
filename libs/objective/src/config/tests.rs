//! What may be written in `[advantage]` and `[loss]`, and what is said of everything else.

use vrft_config::{Document, Printed};

use super::*;

fn read(text: &str) -> Result<(AdvantageConfig, LossConfig), ConfigError> {
    let document = Document::parse(text, "test")?;
    let advantage = document.section()?;
    let loss = document.section()?;
    check_together(&advantage, &loss)?;
    Ok((advantage, loss))
}
fn loss(text: &str) -> LossConfig {
    read(&format!("[loss]\n{text}")).unwrap().1
}
/// What is accepted reads back the same when it is printed.
#[track_caller]
fn accepted(text: &str) {
    let (advantage, loss) = read(text).unwrap();
    let mut printed = Printed::default();
    printed.add(&advantage);
    printed.add(&loss);
    let printed = printed.finish();
    assert_eq!(read(&printed).unwrap(), (advantage, loss), "{printed}");
}
/// Key of the error of these settings, and words that must be in it.
#[track_caller]
fn refused(text: &str, key: &str, words: &str) {
    let error = read(text).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{key} = ")) && error.contains(words), "{error}");
}

#[test]
fn a_paper_is_a_combination_of_parts() {
    assert_eq!(loss("type = \"grpo\""), LossConfig::default());
    assert_eq!(loss("type = \"gspo\""), loss("ratio = \"sequence\""));
    assert_eq!(loss("type = \"gspo_token\""), loss("ratio = \"sequence_token\""));
    assert_eq!(loss("type = \"dapo\""), loss("aggregation = \"token_mean\""));
    assert_eq!(loss("type = \"bnpo\""), loss("type = \"dapo\""));
    let luspo = "ratio = \"sequence\"\naggregation = \"sequence_sum\"";
    assert_eq!(loss("type = \"luspo\""), loss(luspo));
    let dr_grpo = "aggregation = \"constant_length\"\nlength = 40";
    assert_eq!(loss("type = \"dr_grpo\"\nlength = 40"), loss(dr_grpo));
    let cispo = "surrogate = {type = \"cispo\", max_ratio = 4.0}\naggregation = \"token_mean\"";
    assert_eq!(loss("type = \"cispo\"\ncispo = {max_ratio = 4.0}"), loss(cispo));
    assert_eq!(loss("type = \"sapo\""), loss("surrogate = {type = \"sapo\"}"));
    let vespo = "surrogate.type = \"vespo\"\naggregation = \"token_mean\"";
    assert_eq!(loss("type = \"vespo\""), loss(vespo));
}

#[test]
fn parts_may_be_combined_as_no_paper_did() {
    accepted("[loss]\nratio = \"sequence\"\naggregation = \"token_mean\"");
    accepted("[loss]\nratio = \"sequence\"\nsurrogate.type = \"sapo\"");
    accepted("[loss]\nratio = \"sequence\"\nsurrogate.type = \"cispo\"");
    accepted("[loss]\nsurrogate = {type = \"cispo\"}\naggregation = \"constant_length\"");
}

#[test]
fn what_belongs_together_is_accepted() {
    for (name, _) in Preset::ALL {
        accepted(&format!("[loss]\ntype = {name:?}"));
        // A file that writes the default out is good for all of them.
        accepted(&format!("[loss]\ntype = {name:?}\nclip_epsilon = 0.2"));
    }
    accepted("[loss]\ntype = \"dr_grpo\"\nlength = 40");
    accepted("[loss]\ntype = \"sapo\"\n[loss.sapo]\ntemperature_neg = 1.1");
    accepted("[loss]\nclip_epsilon_high = 0.28\nclip_delta = 4.0");
    accepted("[loss]\ntype = \"gspo\"\nsurrogate = {type = \"clip\", epsilon = 3e-4}");
    accepted("[loss]\nmask_truncated = true\nmask_zero_advantage = true\ntop_entropy = 0.2");
    accepted("[loss]\nkl_in = \"reward\"\nkl = \"k1\"\n[advantage]\nscale = \"none\"");
    accepted("[loss.sampler_correction]\nmode = \"sequence_mask\"\nmax = 3.0");
    accepted("[loss]\nentropy_coef = 0.01\n[loss.entropy_adaptive]\ntarget = 0.5");
    accepted("[loss.kl_adaptive]\ntarget = 0.1");
    accepted("[advantage]\nbaseline = \"leave_one_out\"\nscale = \"none\"");
    accepted("[advantage]\naggregate = \"normalize_then_sum\"\nscale = \"batch\"");
    accepted("[advantage.absolute]\nmode = \"mix\"\nshare = 0.5");
    accepted("[advantage.absolute]\nmode = \"multiply\"\npower = 2.0");
    accepted("[advantage.curriculum]\ndiversity = \"entropy\"\nchoices = 4");
    accepted("[advantage.overlong]\ncushion = 64");
    accepted("[loss]\nsurrogate = {type = \"awr\", temperature = 0.5, max_weight = 10.0}");
    accepted(
        "[loss]\ntype = \"awr\"\nmask_zero_advantage = true\n[loss.effective_samples]\nmin = 0.2",
    );
}

#[test]
fn what_learns_from_logs_is_checked_by_its_keys() {
    assert_eq!(loss("type = \"awr\""), loss("surrogate.type = \"awr\""));
    let awr = "[loss]\nsurrogate = {type = \"awr\"";
    refused(&format!("{awr}}}\nratio = \"sequence\""), "loss.ratio", "no ratio");
    refused(&format!("{awr}, temperature = 0.0}}"), "loss.surrogate.temperature", "above 0");
    refused(&format!("{awr}, max_weight = -1.0}}"), "loss.surrogate.max_weight", "above 0");
    let gate = "[loss.effective_samples]\nmin = 1.0";
    refused(gate, "loss.effective_samples.min", "a share in (0, 1)");
    let gate = loss("effective_samples = {}").effective_samples.unwrap();
    assert_eq!((gate.min, gate.max_refused), (0.1, 10));
}

#[test]
fn a_paper_may_name_the_advantage_as_well() {
    let advantage = |text: &str| read(&format!("[advantage]\n{text}")).unwrap().0;
    assert_eq!(advantage("type = \"grpo\""), AdvantageConfig::default());
    let rloo = "baseline = \"leave_one_out\"\nscale = \"none\"";
    assert_eq!(advantage("type = \"rloo\""), advantage(rloo));
    let batch = "baseline = \"batch\"\nscale = \"batch\"";
    assert_eq!(advantage("type = \"reinforce_plus_plus\""), advantage(batch));
    assert_eq!(advantage("type = \"dr_grpo\""), advantage("scale = \"none\""));
    let gdpo = "aggregate = \"normalize_then_sum\"\nscale = \"batch\"";
    assert_eq!(advantage("type = \"gdpo\""), advantage(gdpo));
    assert_eq!(advantage("type = \"grpo_passk\""), advantage("baseline = \"runner_up\""));
    let clash = "[advantage]\ntype = \"rloo\"\nscale = \"batch\"";
    refused(clash, "advantage.scale", "advantage.type");
}

#[test]
fn a_part_that_contradicts_the_paper_is_refused() {
    refused("[loss]\ntype = \"gspo\"\nratio = \"token\"", "loss.ratio", "loss.type = \"gspo\"");
    refused(
        "[loss]\ntype = \"grpo\"\naggregation = \"token_mean\"",
        "loss.aggregation",
        "left out, as loss.type = \"grpo\"",
    );
    refused(
        "[loss]\ntype = \"grpo\"\nsurrogate = {type = \"sapo\"}",
        "loss.surrogate.type",
        "loss.type = \"grpo\"",
    );
}

#[test]
fn parts_that_make_no_sense_together_are_refused() {
    let vespo = "surrogate.type = \"vespo\"";
    refused(&format!("[loss]\n{vespo}\nratio = \"sequence\""), "loss.ratio", "\"token\"");
    let cispo = "surrogate.type = \"cispo\"";
    refused(&format!("[loss]\n{cispo}\nratio = \"sequence_token\""), "loss.ratio", "\"sequence\"");
    refused("[loss]\nlength = 40", "loss.length", "constant_length");
    refused("[loss.sapo]\ntemperature_pos = 2.0", "loss.sapo", "loss.type");
    refused("[loss]\ntype = \"cispo\"\nclip_delta = 4.0", "loss.clip_delta", "left out");
    refused("[loss]\ntype = \"cispo\"\nclip_epsilon = 0.3", "loss.clip_epsilon", "left out");
    refused(
        "[loss]\nclip_epsilon = 0.1\nsurrogate = {type = \"clip\", epsilon = 0.2}",
        "loss.clip_epsilon",
        "beside [loss.surrogate]",
    );
    refused(
        "[loss]\ntype = \"vespo\"\n[loss.sampler_correction]\nmode = \"sequence_mask\"\nmax = 3.0",
        "loss.sampler_correction.mode",
        "token_truncate",
    );
}

#[test]
fn impossible_values_of_the_loss_are_refused() {
    refused("[loss]\nkl_coef = -0.1", "loss.kl_coef", "0 or above");
    refused("[loss]\nclip_epsilon = 1.5", "loss.clip_epsilon", "(0, 1)");
    refused("[loss]\nclip_delta = 1.1", "loss.clip_delta", "above 1 +");
    refused("[loss]\nkl_in = \"reward\"", "loss.kl_in", "advantage.scale = \"none\"");
    refused("[loss]\nkl = \"k1\"", "loss.kl", "kl_bias_correction = true");
    let adaptive = "[loss.kl_adaptive]\ntarget = 0.1";
    refused(&format!("[loss]\nkl_coef = 0.0\n{adaptive}"), "loss.kl_coef", "multiplies");
    refused("[loss]\ntop_entropy = 0.0", "loss.top_entropy", "(0, 1]");
    refused("[loss]\ntype = \"dr_grpo\"\nlength = 0", "loss.length", "at least 1");
    refused(
        "[loss]\nsurrogate = {type = \"cispo\", max_ratio = 0.0}",
        "loss.surrogate.max_ratio",
        "above 0",
    );
    refused(
        "[loss.sampler_correction]\nmode = \"token_mask\"",
        "loss.sampler_correction.max",
        "given",
    );
}

#[test]
fn impossible_advantages_are_refused() {
    refused("[advantage]\nbaseline = \"leave_one_out\"", "advantage.scale", "\"none\"");
    refused("[advantage]\nbaseline = \"batch\"", "advantage.scale", "\"batch\"");
    refused("[advantage]\naggregate = \"normalize_then_sum\"", "advantage.aggregate", "batch");
    refused("[advantage.overlong]\ncushion = 0", "advantage.overlong.cushion", "at least 1");
    let mix = "[advantage.absolute]\nmode = \"mix\"\nshare = 1.5";
    refused(mix, "advantage.absolute.share", "[0, 1]");
    let entropy = "[advantage.curriculum]\ndiversity = \"entropy\"\nchoices = 1";
    refused(entropy, "advantage.curriculum.choices", "at least 2");
}

/// What a setting has no place for is named by the reader of the file, with what there is.
#[test]
fn a_key_of_another_part_is_named() {
    for (text, words) in [
        ("[loss.sapo]\ntemprature = 1.0", ["temprature", "temperature_pos"]),
        (
            "[loss]\nsurrogate = {type = \"sapo\", max_ratio = 1.0}",
            ["max_ratio", "temperature_pos"],
        ),
        ("[loss]\nsurrogate = {type = \"ppo\"}", ["ppo", "clip"]),
        ("[loss]\ntype = \"grop\"", ["grop", "grpo"]),
        ("[advantage.absolute]\nmode = \"mix\"", ["missing field", "share"]),
        ("[advantage.absolute]\nmode = \"multiply\"\nshare = 0.5", ["share", "power"]),
        ("[advantage.curriculum]\ndiversity = \"distinct\"\nchoices = 4", ["choices", "weight"]),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn the_true_answer_is_shown_in_one_way() {
    accepted("[advantage.truth]\nform = true\nsmooth = false");
    accepted("[advantage]\ntype = \"maxrl\"\ntruth = {}");
    accepted("[loss.chord]\nmu = 0.9\nmu_end = 0.1\ndecay_steps = 5\ntoken_weight = \"one\"");
    refused("[advantage.truth]\n[loss.chord]", "loss.chord", "beside [advantage.truth]");
    refused(
        "[advantage]\ntype = \"gdpo\"\ntruth = {}",
        "advantage.truth",
        "compared with its group",
    );
    let batch = "[advantage]\ntype = \"reinforce_plus_plus\"\ntruth = {}";
    refused(batch, "advantage.truth", "compared with its group");
    let absolute = "[advantage]\ntruth = {}\nabsolute = {mode = \"mix\", share = 0.5}";
    refused(absolute, "advantage.truth", "beside [advantage.absolute]");
    let linear = "[advantage]\nscale = \"none\"\ntruth = {}\n[loss]\nkl_in = \"reward\"";
    refused(linear, "loss.kl_in", "[advantage.truth] out");
    refused("[loss.chord]\nmu = 0.0", "loss.chord.mu", "a share in (0, 1]");
    refused("[loss.chord]\nmu_end = 1.5", "loss.chord.mu_end", "a share in [0, 1]");
    refused("[loss.chord]\nmu_end = 0.0", "loss.chord.decay_steps", "at least 1");
}
