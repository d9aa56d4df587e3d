//! What rows become under the declared tasks.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use image::{DynamicImage, ImageFormat, RgbImage};
use vrft_dataset::{DataSpace, Origin, Picture};
use vrft_reward::Space;
use vrft_reward::answers::{AnswerKind, AxisOrder, BoxesAnswer, ItemKeys, LabelAnswer};
use vrft_reward::config::AnswerConfig;
use vrft_vision::Rect;

use super::*;

fn row(question: Question, truth: Truth) -> Row {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::new(400, 200)).write_to(&mut png, ImageFormat::Png).unwrap();
    let picture = Picture::of_bytes(png.into_inner()).unwrap();
    let origin = Origin { file: PathBuf::from("some").into(), row: 0, sample_id: "a".into() };
    Row { origin, question, pictures: vec![Arc::new(picture)], truth }
}

fn annotated() -> Row {
    let boxes = [Rect::new([40.0, 20.0, 160.0, 80.0])];
    row(Question::Category("square".into()), Truth::Boxes(boxes.to_vec().into()))
}

/// The picture is 400 × 200.
fn resize(size: (u32, u32)) -> Result<(u32, u32), String> {
    assert_eq!(size, (400, 200));
    Ok((392, 196))
}

fn pixels() -> RewardConfig {
    let keys = ItemKeys { place: "bbox_2d".into(), label: "label".into(), ..ItemKeys::default() };
    let kind = BoxesAnswer { space: Space::Pixels, keys, ..BoxesAnswer::default() };
    let answer = AnswerConfig::of(AnswerKind::Boxes(kind));
    RewardConfig { answer, ..RewardConfig::default() }
}

#[test]
fn annotated_boxes_are_asked_for_as_visual_rft_does() {
    let prompter = Prompter::new(&RewardConfig::default(), "");
    let [question] = &prompter.turns(&annotated())[..] else { panic!("one turn") };
    assert_eq!(question.parts[0], Part::Image);
    assert!(question.text().starts_with(
        "Detect all objects belonging to the category 'square' in the image, and provide"
    ));
    let truth = prompter.truth(&annotated(), &resize).unwrap();
    assert_eq!(truth, "<answer>[{'Position': [100, 100, 400, 400], 'Confidence': 1}]</answer>");
    assert_eq!(prompter.check_truth(&truth), Ok(()));
}

#[test]
fn the_category_is_known_of_annotations_and_of_the_questions_of_visual_rft() {
    let prompter = Prompter::new(&RewardConfig::default(), "");
    assert_eq!(prompter.category(&annotated()).as_deref(), Some("square"));
    let turns: Arc<[Turn]> = prompter.turns(&annotated()).into();
    let named = row(Question::Turns(turns), Truth::Text("[]".into()));
    assert_eq!(prompter.category(&named).as_deref(), Some("square"));
    let other = Arc::new([Turn::question(1, "Where is the lorry?")]);
    assert_eq!(prompter.category(&row(Question::Turns(other), Truth::Text("[]".into()))), None);
}

#[test]
fn the_configuration_says_how_rows_without_words_are_asked() {
    let asked = |question: Question, words: Option<&str>| {
        let prompter = Prompter::new(&RewardConfig::default(), "").with_question(words);
        let row = row(question, Truth::Text("a".into()));
        let text = prompter.turns(&row)[0].text();
        (text, prompter.check_question(&row))
    };
    let (text, checked) = asked(Question::Category("cat".into()), Some("Any {category}?"));
    assert_eq!((text.as_str(), checked), ("Any cat?", Ok(())));
    let (text, checked) =
        asked(Question::Expression("the left".into()), Some("Box: {expression}."));
    assert_eq!((text.as_str(), checked), ("Box: the left.", Ok(())));
    let (text, checked) = asked(Question::Class, Some("Which plant?"));
    assert_eq!((text.as_str(), checked), ("Which plant?", Ok(())));
    let why = asked(Question::Category("cat".into()), Some("Any cow?")).1.unwrap_err();
    assert_eq!(why, "data.question has no {category}, got \"Any cow?\"");
    // Without words of its own a row is asked with what its answer should look like.
    for question in [Question::Class, Question::Expression("the left".into())] {
        let (text, checked) = asked(question, None);
        assert!(text.contains("<answer>") && checked.is_ok(), "{text}");
    }
}

#[test]
fn shots_are_counted_by_category_or_by_true_name() {
    let detection = Prompter::new(&RewardConfig::default(), "");
    assert_eq!(detection.class(&annotated()).as_deref(), Some("square"));
    let mut names = RewardConfig::default();
    names.answer.kind = AnswerKind::Label(LabelAnswer::default());
    let named = |text: &str| {
        Prompter::new(&names, "").class(&row(Question::Class, Truth::Text(text.into())))
    };
    assert_eq!(named("<answer>737-200</answer>").as_deref(), Some("737-200"));
    assert_eq!(named("A310").as_deref(), Some("A310"));
    let expression = row(Question::Expression("left".into()), Truth::Text("[]".into()));
    assert_eq!(detection.class(&expression), None);
}

#[test]
fn nothing_on_the_picture_is_answered_as_declared() {
    let prompter = Prompter::new(&RewardConfig::default(), "");
    let empty = row(Question::Category("square".into()), Truth::Boxes(Vec::new().into()));
    let truth = prompter.truth(&empty, &resize).unwrap();
    assert_eq!(
        (truth.as_str(), prompter.check_truth(&truth)),
        ("<answer>No Objects</answer>", Ok(()))
    );
}

#[test]
fn a_task_in_pixels_is_asked_in_pixels_of_what_the_model_sees() {
    let prompter = Prompter::new(&pixels(), "");
    let text = prompter.turns(&annotated())[0].text();
    assert!(text.contains("category 'square'") && text.contains("bbox_2d"), "{text}");
    assert!(!text.contains("1000"), "{text}");
    let truth = prompter.truth(&annotated(), &resize).unwrap();
    assert_eq!(truth, r#"<answer>[{"bbox_2d": [39, 20, 157, 78], "label": "square"}]</answer>"#);
    assert_eq!(prompter.check_truth(&truth), Ok(()));
}

#[test]
fn boxes_are_no_answer_to_a_task_without_places() {
    let mut names = RewardConfig::default();
    names.answer.kind = AnswerKind::Label(LabelAnswer::default());
    let error = Prompter::new(&names, "").truth(&annotated(), &resize).unwrap_err();
    assert!(error.contains("reward.answer.type = \"label\""), "{error}");
}

#[test]
fn instructions_and_a_system_turn_are_added_once() {
    let mut reward = pixels();
    reward.format.instruct = true;
    let asked = row(Question::Turns([Turn::question(1, "Where?")].into()), Truth::Text("s".into()));
    let turns = Prompter::new(&reward, "Be careful.").turns(&asked);
    assert_eq!(turns[0], Turn::system("Be careful."));
    assert_eq!(turns[1].text(), format!("Where?\n{}", instructions(&reward)));
    let own = [Turn::system("Be quick."), Turn::question(1, "Where?")];
    let asked = row(Question::Turns(own.clone().into()), Truth::Text("s".into()));
    assert_eq!(Prompter::new(&pixels(), "Be careful.").turns(&asked), own);
    let text = Prompter::new(&reward, "").turns(&annotated())[0].text();
    assert_eq!(text.matches("bbox_2d").count(), 1, "{text}");
}

#[test]
fn what_is_demonstrated_is_what_the_task_accepts_as_best() {
    let prompter = Prompter::new(&RewardConfig::default(), "");
    let boxes = "[{'Position': [1, 2, 3, 4], 'Confidence': 1}]";
    let tagged = format!("<answer>{boxes}</answer>");
    let prefix = "<think> There. </think> ";
    assert_eq!(prompter.demonstration(&tagged, prefix), tagged);
    assert_eq!(prompter.demonstration(boxes, prefix), tagged);
    assert_eq!(prompter.demonstration(boxes, ""), format!("<think></think>{tagged}"));
    let own = format!("<think>The square is bright.</think>\n{tagged}");
    assert_eq!(prompter.demonstration(&own, prefix), own);
}

fn answered(solutions: &[&str]) -> Dataset {
    let one = |solution: &&str| {
        let turns = Question::Turns([Turn::question(1, "Where?")].into());
        row(turns, Truth::Text((*solution).into()))
    };
    Dataset::of(solutions.iter().map(one).collect()).unwrap()
}

/// Boxes in pixels of the picture, of 400 × 200.
const IN_PIXELS: [&str; 3] = [
    "[{'Position': [40, 20, 160, 80], 'Confidence': 1}]",
    "[{'Position': [0, 0, 399, 199], 'Confidence': 1}]",
    "<answer>[{'Position': [200, 100, 300, 150], 'Confidence': 1}]</answer>",
];

#[test]
fn pixels_are_told_by_the_sizes_of_the_pictures_and_converted_once() {
    let data = answered(&IN_PIXELS);
    let prompter =
        Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default()).unwrap();
    let [note] = prompter.notes() else { panic!("{:?}", prompter.notes()) };
    assert!(note.contains("pixels, since") && note.contains("converted to thousandths"), "{note}");
    let truth = prompter.truth(data.get(0), &resize).unwrap();
    assert_eq!(truth, "[{\"Position\": [100, 100, 400, 400], \"Confidence\": 1}]");
    let tagged = prompter.truth(data.get(2), &resize).unwrap();
    assert!(tagged.starts_with("<answer>[{\"Position\": [500, 500, 750, 750]"), "{tagged}");
}

#[test]
fn what_is_declared_is_not_guessed() {
    let data = answered(&IN_PIXELS);
    let declared = Declared { space: Some(DataSpace::Thousandths), ..Declared::default() };
    let prompter = Prompter::new(&RewardConfig::default(), "").for_data(&data, declared).unwrap();
    assert!(prompter.notes()[0].contains("as data.space says"), "{:?}", prompter.notes());
    assert_eq!(prompter.truth(data.get(0), &resize).unwrap(), IN_PIXELS[0]);
}

#[test]
fn thousandths_stay_to_the_letter_and_serve_a_task_in_pixels() {
    let solutions = ["[{'bbox_2d': [100, 100, 400, 400], 'label': 'a'}]"; 3];
    let far = "[{'bbox_2d': [0, 0, 1000, 1000], 'label': 'b'}]";
    let data = answered(&[solutions.as_slice(), &[far]].concat());
    let prompter = Prompter::new(&pixels(), "").for_data(&data, Declared::default()).unwrap();
    let truth = prompter.truth(data.get(0), &resize).unwrap();
    assert_eq!(truth, "[{\"bbox_2d\": [39, 20, 157, 78], \"label\": \"a\"}]");
    let whole = prompter.truth(data.get(3), &resize).unwrap();
    assert_eq!(whole, "[{\"bbox_2d\": [0, 0, 392, 196], \"label\": \"b\"}]");
}

#[test]
fn few_rows_that_could_be_either_are_what_the_task_says() {
    let data = answered(&["[{'Position': [40, 20, 160, 80], 'Confidence': 1}]"]);
    let prompter =
        Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default()).unwrap();
    assert!(prompter.notes()[0].contains("data.space"), "{:?}", prompter.notes());
    assert!(prompter.truth(data.get(0), &resize).unwrap().contains("[40, 20, 160, 80]"));
}

#[test]
fn a_place_outside_of_its_picture_is_named() {
    let declared = Declared { space: Some(DataSpace::Pixels), ..Declared::default() };
    let data = answered(&["[{'Position': [40, 20, 460, 80], 'Confidence': 1}]"]);
    let prompter = Prompter::new(&RewardConfig::default(), "").for_data(&data, declared).unwrap();
    let error = prompter.truth(data.get(0), &resize).unwrap_err();
    assert!(error.contains("(460, 80)") && error.contains("400 × 200"), "{error}");
}

#[test]
fn answers_without_places_are_not_touched() {
    let mut names = RewardConfig::default();
    names.answer.kind = AnswerKind::Label(LabelAnswer::default());
    let data = answered(&["cat 40"]);
    let prompter = Prompter::new(&names, "").for_data(&data, Declared::default()).unwrap();
    assert!(prompter.notes().is_empty());
    assert_eq!(prompter.truth(data.get(0), &resize).unwrap(), "cat 40");
}

#[test]
fn answers_of_any_form_are_mirrored_with_their_picture() {
    let mirror = Mirror { horizontal: true, vertical: false };
    let in_pixels = Prompter::new(&pixels(), "");
    let truth = in_pixels.mirrored_truth(&annotated(), &resize, mirror).unwrap();
    assert_eq!(truth, r#"<answer>[{"bbox_2d": [235, 20, 353, 78], "label": "square"}]</answer>"#);
    let solution = "[{'bbox_2d': [39, 20, 157, 78], 'label': 'square'}]";
    let data = answered(&[solution]);
    let truth = in_pixels.mirrored_truth(data.get(0), &resize, mirror).unwrap();
    assert_eq!(truth, "[{\"bbox_2d\": [235, 20, 353, 78], \"label\": \"square\"}]");
}

#[test]
fn a_percentage_among_plain_numbers_is_refused_by_its_row() {
    let mut counts = RewardConfig::default();
    counts.answer.kind = AnswerKind::Number(vrft_reward::answers::NumberAnswer {});
    let prompter = |answers: &[&str]| {
        let data = answered(answers);
        Prompter::new(&counts, "")
            .for_data(&data, Declared::default())
            .map(|prompter| (prompter, data))
    };
    let (few, data) = prompter(&[["3"; 30].as_slice(), &["50%"]].concat()).unwrap();
    assert_eq!(few.truth(data.get(0), &resize).unwrap(), "3");
    assert!(few.truth(data.get(30), &resize).unwrap_err().contains("plain numbers"));
    let (all, data) = prompter(&["50%"; 3]).unwrap();
    assert_eq!(all.truth(data.get(0), &resize).unwrap(), "50%");
    let error = prompter(&["50%", "3"]).map(drop).unwrap_err().to_string();
    assert!(error.contains("percentages are 1 (row"), "{error}");
}

#[test]
fn an_answer_in_shares_among_pixels_is_refused_by_its_row_and_two_units_at_all() {
    let share = "[{'Position': [0.1, 0.2, 0.5, 0.9], 'Confidence': 1}]";
    let data = answered(&[[IN_PIXELS[1]; 30].as_slice(), &[share]].concat());
    let prompter =
        Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default()).unwrap();
    prompter.truth(data.get(0), &resize).unwrap();
    let error = prompter.truth(data.get(30), &resize).unwrap_err();
    assert!(error.contains("shares of the sides") && error.contains("data.space"), "{error}");
    let data = answered(&[[IN_PIXELS[1]; 5], [share; 5]].concat());
    let mixed = Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default());
    let error = mixed.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("5 answers have no coordinate above 1") && error.contains("data.space"),
        "{error}"
    );
}

#[test]
fn widths_and_heights_are_told_from_corners() {
    let sides = ["[{'Position': [200, 100, 50, 40]}]", "[{'Position': [20, 100, 150, 40]}]"];
    let data = answered(&sides);
    let error = Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default());
    let error = error.map(drop).unwrap_err().to_string();
    assert!(error.contains("are they [x, y, width, height]?"), "{error}");
}

/// Boxes in pixels of the picture, of 400 × 200, with y first.
fn y_first(key: &str) -> Vec<String> {
    let corners = [[20, 40, 80, 160], [0, 0, 199, 399], [100, 200, 150, 300], [10, 20, 190, 380]];
    corners.map(|corners| format!("[{{'{key}': {corners:?}, 'label': 'mug'}}]")).to_vec()
}

#[test]
fn pixels_in_the_other_order_are_refused_with_the_key_that_says_it() {
    let refused = |key: &str, order: &str, text: &[String], declared| {
        let mut reward = pixels();
        let AnswerKind::Boxes(boxes) = &mut reward.answer.kind else { panic!("boxes") };
        boxes.keys.place = key.into();
        boxes.order = match order {
            "xy" => Some(AxisOrder::Xy),
            "yx" => Some(AxisOrder::Yx),
            _ => None,
        };
        let texts: Vec<&str> = text.iter().map(String::as_str).collect();
        let read = Prompter::new(&reward, "").for_data(&answered(&texts), declared);
        read.map(drop).map_err(|error| error.to_string())
    };
    let pixels = Declared { space: Some(DataSpace::Pixels), ..Declared::default() };
    let thousandths = Declared { space: Some(DataSpace::Thousandths), ..Declared::default() };
    for declared in [Declared::default(), pixels] {
        let x_first: Vec<String> = IN_PIXELS
            .iter()
            .map(|text| {
                text.replace("Position", "box_2d").replace("'Confidence': 1", "'label': 'a'")
            })
            .collect();
        let error = refused("box_2d", "", &x_first, declared).unwrap_err();
        assert!(error.contains("read, with y before x; with x first they lie within"), "{error}");
        assert!(
            error.contains("reward.answer.order = \"xy\"") && error.contains("row 0"),
            "{error}"
        );
        let error = refused("bbox", "", &y_first("bbox"), declared).unwrap_err();
        assert!(error.contains("reward.answer.order = \"yx\""), "{error}");
        assert!(!error.contains("data.space"), "{error}");
        refused("bbox", "yx", &y_first("bbox"), declared).unwrap();
        refused("box_2d", "", &y_first("box_2d"), declared).unwrap();
        refused("box_2d", "xy", &x_first, declared).unwrap();
    }
    // What counts thousandths may be anywhere.
    refused("bbox", "", &y_first("bbox"), thousandths).unwrap();
}

#[test]
fn a_place_that_lies_within_its_picture_the_other_way_round_blames_the_order() {
    let mut rows = [IN_PIXELS[1]; 30].to_vec();
    rows.push("[{'Position': [20, 40, 80, 160], 'Confidence': 1}]");
    rows.push("[{'Position': [20, 210, 80, 390], 'Confidence': 1}]");
    let data = answered(&rows);
    let prompter =
        Prompter::new(&RewardConfig::default(), "").for_data(&data, Declared::default()).unwrap();
    prompter.truth(data.get(30), &resize).unwrap();
    let error = prompter.truth(data.get(31), &resize).unwrap_err();
    assert!(error.contains("with x before y") && error.contains("= \"yx\""), "{error}");
}

#[test]
fn coordinates_that_look_like_something_else_than_declared_are_warned_of() {
    // A picture of 400 × 200: thousandths reach beyond it.
    let thousandths = "[{'bbox_2d': [100, 100, 900, 800], 'label': 'a'}]";
    let notes = |rows: &[&str], declared| {
        let data = answered(rows);
        let prompter = Prompter::new(&pixels(), "").for_data(&data, declared);
        prompter.map(|prompter| prompter.notes().join("\n"))
    };
    let of = |space, key| Declared { space: Some(space), key, ..Declared::default() };
    let told = notes(&[thousandths; 9], of(DataSpace::Pixels, "evaluation.space")).unwrap();
    assert!(told.contains("warning: evaluation.space says pixels, and the coordinates"), "{told}");
    let told = notes(&[thousandths; 9], of(DataSpace::Thousandths, "data.space")).unwrap();
    assert!(!told.contains("warning"), "{told}");
    // Three answers may be anything.
    let told = notes(&[thousandths; 3], of(DataSpace::Pixels, "data.space")).unwrap();
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn the_key_that_says_a_space_is_blamed_for_it() {
    let declared = Declared {
        space: Some(DataSpace::Thousandths),
        key: "evaluation.space",
        ..Declared::default()
    };
    let data = answered(&["[{'bbox_2d': [40, 20, 1460, 80], 'label': 'a'}]"]);
    let prompter = Prompter::new(&pixels(), "").for_data(&data, declared).unwrap();
    let error = prompter.truth(data.get(0), &resize).unwrap_err();
    assert!(error.contains("(evaluation.space says what they count)"), "{error}");
}

#[test]
fn completions_that_are_too_short_for_any_answer_are_told() {
    let starter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/starter");
    let processor = vrft_processor::Processor::load(starter.as_ref()).unwrap();
    let data = answered(&IN_PIXELS);
    let prompter = Prompter::new(&RewardConfig::default(), "");
    let note = |max| crate::Checker::new(&processor, max).note_length(&prompter, &data);
    let told = note(2).unwrap();
    let words =
        "3 of 3 answers as they should be are longer than rollout.max_completion_tokens = 2";
    assert!(told.contains(words) && told.contains("every completion is cut"), "{told}");
    assert_eq!(note(256), None);
}

#[test]
fn questions_for_what_is_absent_that_are_not_made_are_said_not_to_be() {
    let data = |negatives| DataConfig { negatives, ..DataConfig::default() };
    let absent = row(Question::Category("mug".into()), Truth::Boxes(Vec::new().into()));
    let (annotated, both) = (annotated(), Dataset::of(vec![annotated(), absent]).unwrap());
    let annotated = Dataset::of(vec![annotated]).unwrap();
    let note = |negatives, dataset: &Dataset| crate::note_negatives(&data(negatives), dataset);
    assert_eq!((note(0.0, &annotated), note(0.5, &both)), (None, None));
    assert!(note(0.5, &annotated).unwrap().contains("is on every picture"));
    let told = note(0.5, &answered(&IN_PIXELS)).unwrap();
    assert!(told.starts_with("warning: data.negatives = 0.5 has no effect: rows of"), "{told}");
}

#[test]
fn a_first_answer_is_shown_where_it_is_to_be_corrected_and_nowhere_else() {
    let first = "<think> none </think><answer>No Objects</answer>";
    let asked = Turn::question(1, "Where?");
    let turns = vec![asked.clone(), Turn::answer(first)];
    let answered = row(Question::Turns(turns.into()), Truth::Text("s".into()));
    let only_asked = row(Question::Turns([asked.clone()].into()), Truth::Text("s".into()));
    let plain = RewardConfig::default();
    let correction = Some(vrft_reward::config::CorrectionConfig::default());
    let mut correcting = RewardConfig { correction, ..plain.clone() };
    assert_eq!(Prompter::new(&plain, "").turns(&answered), std::slice::from_ref(&asked));
    let prompter = Prompter::new(&correcting, "");
    let again = correcting.correction.as_ref().unwrap().question.clone();
    let turns = prompter.turns(&answered);
    assert_eq!(turns, [asked, Turn::answer(first), Turn::question(0, &again)]);
    assert_eq!(prompter.check_question(&answered), Ok(()));
    let error = prompter.check_question(&only_asked).unwrap_err();
    assert!(error.contains("no first answer to correct (reward.correction)"), "{error}");
    // What an answer looks like is said when it is asked for at first.
    correcting.format.instruct = true;
    let turns = Prompter::new(&correcting, "").turns(&answered);
    assert!(turns[0].text().contains("<answer>") && turns[2].text() == again, "{turns:?}");
}

#[test]
fn a_configured_question_that_no_row_needs_is_said_to_be_unused() {
    let notes = |question, dataset: &Dataset| {
        let prompter = Prompter::new(&RewardConfig::default(), "").with_question(question);
        prompter.for_data(dataset, Declared::default()).unwrap().notes().join("\n")
    };
    let (asking, silent) = (answered(&["[]", "[]"]), Dataset::of(vec![annotated()]).unwrap());
    let words = "data.question is not used for 2 of 2 rows: they have a question of their own";
    assert!(notes(Some("Where is {category}?"), &asking).contains(words));
    assert!(!notes(None, &asking).contains("data.question"));
    assert!(!notes(Some("Where is {category}?"), &silent).contains("data.question"));
}

#[test]
fn boxes_of_several_names_are_answered_by_these_in_the_declared_form() {
    let boxes = vrft_dataset::Boxes::from(vec![
        Rect::new([40.0, 20.0, 160.0, 80.0]),
        Rect::new([200.0, 100.0, 300.0, 150.0]),
    ]);
    let boxes = boxes.with_labels(vec!["mug".into(), "cup".into()]);
    let asked = Question::Turns([Turn::question(1, "What is there?")].into());
    let row = row(asked, Truth::Boxes(boxes));
    let truth = Prompter::new(&pixels(), "").truth(&row, &resize).unwrap();
    let expected = "<answer>[{\"bbox_2d\": [39, 20, 157, 78], \"label\": \"mug\"}, {\"bbox_2d\": [196, 98, 294, 147], \
                    \"label\": \"cup\"}]</answer>";
    assert_eq!(truth, expected);
    let truth = Prompter::new(&RewardConfig::default(), "").truth(&row, &resize).unwrap();
    assert!(truth.contains("'Position': [500, 500, 750, 750]"), "{truth}");
}
