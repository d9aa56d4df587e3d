//! Contradictions among the settings of advantages and loss, each with what to write instead.

use vrft_config::{ConfigError, Section, require};

use super::{
    AbsoluteMode, AdvantageConfig, AdvantageScale, Aggregate, Baseline, CorrectionMode, Diversity,
    KlEstimator, KlPlace, LossConfig, LossKind,
};

impl Section for AdvantageConfig {
    const NAME: &'static str = "advantage";

    fn check(&self) -> Result<(), ConfigError> {
        check_advantage(self)?;
        let Some(overlong) = &self.overlong else { return Ok(()) };
        let cushion = overlong.cushion;
        require(cushion > 0, "advantage.overlong.cushion", cushion, "at least 1")?;
        let penalty = overlong.penalty;
        require(
            penalty > 0.0 && penalty.is_finite(),
            "advantage.overlong.penalty",
            penalty,
            "above 0; leave [advantage.overlong] out for none",
        )
    }
}

impl Section for LossConfig {
    const NAME: &'static str = "loss";

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.kl_coef >= 0.0 && self.kl_coef.is_finite(),
            "loss.kl_coef",
            self.kl_coef,
            "0 or above",
        )?;
        require(
            self.clip_epsilon > 0.0 && self.clip_epsilon < 1.0,
            "loss.clip_epsilon",
            self.clip_epsilon,
            "in (0, 1)",
        )?;
        check_clip(self)?;
        check_kl(self)?;
        check_entropy(self)?;
        check_correction(self)
    }
}

/// Checks what the two sections ask of each other: a KL in the reward reaches the learner after the advantages, which is
/// the same only while those are linear in the reward.
///
/// # Errors
/// A setting of one that does not go with the other.
pub fn check_together(advantage: &AdvantageConfig, loss: &LossConfig) -> Result<(), ConfigError> {
    if loss.kl_in == KlPlace::Loss {
        return Ok(());
    }
    require(
        advantage.baseline == Baseline::Group
            && advantage.scale == AdvantageScale::None
            && advantage.absolute.is_none()
            && advantage.curriculum.is_none(),
        "loss.kl_in",
        "reward",
        "\"loss\", or write advantage.baseline = \"group\" and advantage.scale = \"none\", and leave \
         [advantage.absolute] and [advantage.curriculum] out: the advantage must be linear in the reward",
    )
}

fn check_advantage(advantage: &AdvantageConfig) -> Result<(), ConfigError> {
    let AdvantageConfig { baseline, scale, aggregate, eps, .. } = advantage;
    require(*eps > 0.0 && eps.is_finite(), "advantage.eps", eps, "above 0")?;
    require(
        *aggregate == Aggregate::SumThenNormalize
            || (*baseline == Baseline::Group && *scale == AdvantageScale::Batch),
        "advantage.aggregate",
        "normalize_then_sum",
        "\"sum_then_normalize\", or write advantage.baseline = \"group\" and advantage.scale = \"batch\": terms are \
         normalized within groups, their sum over the batch",
    )?;
    require(
        *baseline != Baseline::Batch || *scale != AdvantageScale::Group,
        "advantage.scale",
        "group",
        "\"batch\" or \"none\" with advantage.baseline = \"batch\"",
    )?;
    require(
        *baseline != Baseline::LeaveOneOut || *scale != AdvantageScale::Group,
        "advantage.scale",
        "group",
        "\"none\" or \"batch\" with advantage.baseline = \"leave_one_out\"; divided by the group's deviation it is \
         the baseline \"group\" but for a factor",
    )?;
    if let Some(absolute) = &advantage.absolute {
        require(absolute.power > 0.0, "advantage.absolute.power", absolute.power, "above 0")?;
        let mixes = absolute.mode == AbsoluteMode::Mix;
        let fits = match absolute.share {
            Some(share) => mixes && (0.0..=1.0).contains(&share),
            None => !mixes,
        };
        require(
            fits,
            "advantage.absolute.share",
            absolute.share.map_or("nothing".to_owned(), |share| share.to_string()),
            "a share in [0, 1] with mode = \"mix\", and left out with mode = \"multiply\"",
        )?;
    }
    if let Some(curriculum) = &advantage.curriculum {
        let by_entropy = curriculum.diversity == Diversity::Entropy;
        require(
            curriculum.choices.map_or(!by_entropy, |choices| by_entropy && choices >= 2),
            "advantage.curriculum.choices",
            curriculum.choices.map_or("nothing".to_owned(), |choices| choices.to_string()),
            "2 or more with diversity = \"entropy\", and left out with diversity = \"distinct\"",
        )?;
        let positive = |value: f32| value > 0.0 && value.is_finite();
        let (weight, power) = (curriculum.weight, curriculum.power);
        require(positive(weight), "advantage.curriculum.weight", weight, "above 0")?;
        require(positive(power), "advantage.curriculum.power", power, "above 0")?;
    }
    Ok(())
}

fn check_clip(loss: &LossConfig) -> Result<(), ConfigError> {
    let clips = loss.kind.clips();
    let high = loss.clip_epsilon_high;
    require(
        high.is_none_or(|high| clips && high > 0.0 && high.is_finite()),
        "loss.clip_epsilon_high",
        shown(high),
        "above 0, and left out for a type that does not clip",
    )?;
    let bound = 1.0 + high.unwrap_or(loss.clip_epsilon);
    require(
        loss.clip_delta.is_none_or(|delta| clips && delta > bound && delta.is_finite()),
        "loss.clip_delta",
        shown(loss.clip_delta),
        "above 1 + the upper clip range, and left out for a type that does not clip",
    )?;
    for (key, is_set, kind) in [
        ("loss.cispo", loss.cispo.is_some(), LossKind::Cispo),
        ("loss.sapo", loss.sapo.is_some(), LossKind::Sapo),
        ("loss.vespo", loss.vespo.is_some(), LossKind::Vespo),
        ("loss.length", loss.length.is_some(), LossKind::DrGrpo),
    ] {
        require(
            !is_set || loss.kind == kind,
            key,
            "given",
            "left out, or write loss.type as the type whose setting it is",
        )?;
    }
    require(loss.length != Some(0), "loss.length", 0, "at least 1")?;
    let cispo = loss.cispo.clone().unwrap_or_default();
    let sapo = loss.sapo.clone().unwrap_or_default();
    let vespo = loss.vespo.clone().unwrap_or_default();
    for (key, value) in [
        ("loss.cispo.max_ratio", cispo.max_ratio),
        ("loss.sapo.temperature_pos", sapo.temperature_pos),
        ("loss.sapo.temperature_neg", sapo.temperature_neg),
        ("loss.vespo.k_pos", vespo.k_pos),
        ("loss.vespo.lambda_pos", vespo.lambda_pos),
        ("loss.vespo.k_neg", vespo.k_neg),
        ("loss.vespo.lambda_neg", vespo.lambda_neg),
    ] {
        require(value > 0.0 && value.is_finite(), key, value, "above 0")?;
    }
    Ok(())
}

fn check_kl(loss: &LossConfig) -> Result<(), ConfigError> {
    require(
        loss.kl != KlEstimator::K1
            || loss.kl_coef == 0.0
            || loss.kl_in == KlPlace::Reward
            || loss.kl_bias_correction,
        "loss.kl",
        "k1",
        "\"k2\" or \"k3\", or write loss.kl_bias_correction = true or loss.kl_in = \"reward\": the gradient of k1 \
         alone is 0 on average",
    )?;
    let in_reward = loss.kl_in == KlPlace::Reward;
    require(
        !in_reward || loss.kl_coef > 0.0,
        "loss.kl_in",
        "reward",
        "\"loss\" where loss.kl_coef is 0, since there is no KL to take from the reward",
    )?;
    require(
        !loss.kl_bias_correction || !in_reward,
        "loss.kl_bias_correction",
        true,
        "false with loss.kl_in = \"reward\", where the KL has no gradient to correct",
    )?;
    require(
        !loss.kl_bias_correction || loss.kl_coef > 0.0,
        "loss.kl_bias_correction",
        true,
        "false where loss.kl_coef is 0",
    )?;
    let Some(adaptive) = &loss.kl_adaptive else { return Ok(()) };
    require(
        loss.kl_coef > 0.0,
        "loss.kl_coef",
        loss.kl_coef,
        "above 0 with [loss.kl_adaptive], which multiplies it",
    )?;
    for (key, value) in [
        ("loss.kl_adaptive.target", adaptive.target),
        ("loss.kl_adaptive.horizon", adaptive.horizon),
    ] {
        require(value > 0.0 && value.is_finite(), key, value, "above 0")?;
    }
    Ok(())
}

fn check_entropy(loss: &LossConfig) -> Result<(), ConfigError> {
    let (share, coef) = (loss.top_entropy, loss.entropy_coef);
    require(
        share > 0.0 && share <= 1.0,
        "loss.top_entropy",
        share,
        "a share of tokens in (0, 1]; 1 is all",
    )?;
    require(coef >= 0.0 && coef.is_finite(), "loss.entropy_coef", coef, "0 or above")?;
    let threshold = loss.off_policy_threshold;
    require(
        threshold.is_none_or(|threshold| threshold > 0.0 && threshold.is_finite()),
        "loss.off_policy_threshold",
        shown(threshold),
        "above 0; leave it out for no mask",
    )?;
    let Some(adaptive) = &loss.entropy_adaptive else { return Ok(()) };
    let target = adaptive.target;
    require(target > 0.0 && target.is_finite(), "loss.entropy_adaptive.target", target, "above 0")?;
    require(adaptive.delta > 0.0, "loss.entropy_adaptive.delta", adaptive.delta, "above 0")?;
    require(
        (0.0..adaptive.max).contains(&adaptive.min) && adaptive.max.is_finite(),
        "loss.entropy_adaptive.min",
        adaptive.min,
        "0 or above, and below loss.entropy_adaptive.max",
    )?;
    require(
        (adaptive.min..=adaptive.max).contains(&coef),
        "loss.entropy_coef",
        coef,
        "from loss.entropy_adaptive.min to loss.entropy_adaptive.max, where it starts",
    )
}

fn check_correction(loss: &LossConfig) -> Result<(), ConfigError> {
    let Some(correction) = &loss.sampler_correction else { return Ok(()) };
    let (min, max) = (correction.min, correction.max);
    require(
        min.is_some() || max.is_some(),
        "loss.sampler_correction.max",
        "nothing",
        "given, or write loss.sampler_correction.min: without a bound a single ratio may outweigh the batch",
    )?;
    require(
        min.unwrap_or(0.0) >= 0.0 && min.unwrap_or(0.0) < max.unwrap_or(f64::INFINITY),
        "loss.sampler_correction.min",
        shown(min),
        "0 or above, and below loss.sampler_correction.max",
    )?;
    let of_sequences =
        matches!(correction.mode, CorrectionMode::SequenceTruncate | CorrectionMode::SequenceMask);
    require(
        !(loss.kind == LossKind::Vespo && of_sequences),
        "loss.sampler_correction.mode",
        "a mode of sequences",
        "\"token_truncate\" or \"token_mask\" with loss.type = \"vespo\", whose weight is one of sequences already",
    )
}

fn shown(value: Option<f64>) -> String {
    value.map_or("nothing".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use vrft_config::{Document, Printed};

    use super::*;

    fn read(text: &str) -> Result<(AdvantageConfig, LossConfig), ConfigError> {
        let document = Document::parse(text, "test")?;
        let (advantage, loss) = (document.section()?, document.section()?);
        check_together(&advantage, &loss)?;
        Ok((advantage, loss))
    }

    /// Key of the error of these settings, and words that must be in it.
    #[track_caller]
    fn refused(text: &str, key: &str, words: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }
    #[track_caller]
    fn accepted(text: &str) {
        let (advantage, loss) = read(text).unwrap();
        let mut printed = Printed::default();
        printed.add(&advantage);
        printed.add(&loss);
        assert_eq!(read(&printed.finish()).unwrap(), (advantage, loss));
    }

    #[test]
    fn what_belongs_together_is_accepted() {
        accepted("[advantage]\nbaseline = \"leave_one_out\"\nscale = \"none\"");
        accepted("[advantage]\naggregate = \"normalize_then_sum\"\nscale = \"batch\"");
        accepted("[advantage.absolute]\nmode = \"mix\"\nshare = 0.5");
        accepted("[advantage.curriculum]\ndiversity = \"entropy\"\nchoices = 4");
        accepted("[advantage.overlong]\ncushion = 64");
        accepted("[loss]\ntype = \"dr_grpo\"\nlength = 40");
        accepted("[loss]\ntype = \"sapo\"\n[loss.sapo]\ntemperature_neg = 1.1");
        accepted("[loss]\nclip_epsilon_high = 0.28\nclip_delta = 4.0");
        accepted("[loss]\nkl_in = \"reward\"\nkl = \"k1\"\n[advantage]\nscale = \"none\"");
        accepted("[loss.sampler_correction]\nmode = \"sequence_mask\"\nmax = 3.0");
        accepted("[loss]\nentropy_coef = 0.01\n[loss.entropy_adaptive]\ntarget = 0.5");
        accepted("[loss.kl_adaptive]\ntarget = 0.1");
    }

    #[test]
    fn advantages_that_contradict_themselves() {
        refused("[advantage]\nbaseline = \"leave_one_out\"", "advantage.scale", "\"none\"");
        refused("[advantage]\nbaseline = \"batch\"", "advantage.scale", "\"batch\"");
        refused("[advantage]\naggregate = \"normalize_then_sum\"", "advantage.aggregate", "batch");
        refused("[advantage.absolute]\nmode = \"mix\"", "advantage.absolute.share", "[0, 1]");
        refused(
            "[advantage.curriculum]\ndiversity = \"distinct\"\nchoices = 4",
            "advantage.curriculum.choices",
            "left out",
        );
        refused("[advantage.overlong]\ncushion = 0", "advantage.overlong.cushion", "at least 1");
    }

    #[test]
    fn losses_that_contradict_themselves() {
        refused("[loss.sapo]\ntemperature_pos = 2.0", "loss.sapo", "loss.type");
        refused("[loss]\ntype = \"cispo\"\nclip_delta = 4.0", "loss.clip_delta", "left out");
        refused("[loss]\nclip_delta = 1.1", "loss.clip_delta", "above 1 +");
        refused("[loss]\nkl_coef = -0.1", "loss.kl_coef", "0 or above");
        refused("[loss]\nkl = \"k1\"", "loss.kl", "kl_bias_correction = true");
        refused("[loss]\nkl_in = \"reward\"", "loss.kl_in", "advantage.scale = \"none\"");
        refused(
            "[loss]\nkl_coef = 0.0\n[loss.kl_adaptive]\ntarget = 0.1",
            "loss.kl_coef",
            "multiplies",
        );
        refused("[loss]\ntop_entropy = 0.0", "loss.top_entropy", "(0, 1]");
        refused(
            "[loss.sampler_correction]\nmode = \"token_mask\"",
            "loss.sampler_correction.max",
            "given",
        );
        refused(
            "[loss]\ntype = \"vespo\"\n[loss.sampler_correction]\nmode = \"sequence_mask\"\nmax = 3.0",
            "loss.sampler_correction.mode",
            "token_truncate",
        );
    }

    #[test]
    fn an_unknown_key_of_a_part_is_named() {
        let error = read("[loss.sapo]\ntemprature = 1.0").unwrap_err().to_string();
        assert!(error.contains("temprature") && error.contains("temperature_pos"), "{error}");
    }
}
