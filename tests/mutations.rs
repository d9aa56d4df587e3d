//! Damaged files of every kind that comes from outside: each is read or refused, and none ends the program.
//!
//! `VRFT_MUTATIONS=5000` tries so many instead of a few; `.ci/long mutations` does so under a limit of memory. An input
//! that panics, hangs or takes too much memory is named by its kind and number, by which it can be made again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BinaryArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use vrft_config::Document;
use vrft_dataset::{DataConfig, Dataset, EvaluationConfig, OpenOptions, RobotConfig, Row};
use vrft_processor::Processor;
use vrft_prompts::{Declared, Prompter};
use vrft_reward::config::{RewardConfig, RewardsConfig};
use vrft_reward::{Example, Reward};
use vrft_tests::root;

/// Inputs that are tried where nobody asks for more.
const FEW: usize = 300;

/// Longest that one input may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most memory that the program may ever have taken, in kB.
const MAX_KB: usize = 1_500_000;

/// Texts that upset readers.
const EVIL: [&str; 16] = [
    "-1",
    "1e308",
    "99999999999999999999",
    "NaN",
    "\0",
    "\u{feff}",
    "../../etc/passwd",
    "/dev/zero",
    "[[[[[[[[[[",
    "{{{{",
    "<|im_end|>",
    "<answer>",
    "<image>",
    "\"",
    "{% for i in range(999999999) %}",
    "\\ud800",
];

/// Random numbers that are the same everywhere (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// One to four changes to these bytes.
fn mutated(original: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len());
        let end = (at + 1 + dice.roll(16)).min(bytes.len());
        match dice.roll(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.roll(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x7f, 0x80][dice.roll(4)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => bytes[at..end].fill([0, 0xff][dice.roll(2)]),
            5 => {
                let copy = bytes[at..end].to_vec();
                let to = dice.roll(bytes.len());
                drop(bytes.splice(to..to, copy));
            }
            6 => drop(bytes.splice(at..at, EVIL[dice.roll(EVIL.len())].bytes())),
            7 => drop(bytes.splice(at..end, EVIL[dice.roll(EVIL.len())].bytes())),
            // Numbers in text become others.
            _ => {
                if let Some(digit) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    let place = at + digit;
                    let evil = EVIL[dice.roll(4)];
                    drop(bytes.splice(place..=place, evil.bytes()));
                }
            }
        }
    }
    bytes
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 10, y as u8 * 16, 7]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn table() -> RecordBatch {
    let png = picture(ImageFormat::Png);
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..4).map(|_| &png)));
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; 4])) };
    let solution = "<answer>[{'Position': [1, 2, 300, 400], 'Confidence': 1}]</answer>";
    RecordBatch::try_from_iter([
        ("image", images),
        ("problem", text("Where?")),
        ("solution", text(solution)),
        ("id", text("a")),
    ])
    .unwrap()
}

fn parquet(compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let table = table();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties)).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    bytes
}

fn ipc(stream: bool) -> Vec<u8> {
    let table = table();
    let mut bytes = Vec::new();
    if stream {
        let mut writer = StreamWriter::try_new(&mut bytes, &table.schema()).unwrap();
        writer.write(&table).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new(&mut bytes, &table.schema()).unwrap();
        writer.write(&table).unwrap();
        writer.finish().unwrap();
    }
    bytes
}

const ROW: &str = r#"{"id": "a", "image": "a.png", "problem": "<image>Where?", "solution": "[{'Position': [1, 2, 30, 40], 'Confidence': 1}]"}"#;
const TALK: &str = r#"{"images": ["a.png"], "conversations": [{"from": "human", "value": "<image>Where?"}, {"from": "gpt", "value": "[{'Position': [1, 2, 30, 40]}]"}]}"#;
const COCO: &str = r#"{"images": [{"id": 1, "file_name": "a.png", "width": 24, "height": 16}], "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 12], "iscrowd": 0}], "categories": [{"id": 3, "name": "cat"}]}"#;
const VOC: &str = "<annotation><filename>a.png</filename><size><width>24</width><height>16</height></size><object><name>cat</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>12</xmax><ymax>12</ymax></bndbox></object></annotation>";

const TABLE: &str = "id,image,problem,solution\na,a.png,\"Where, if at all?\",\"[{'Position': [1, 2, 30, 40], 'Confidence': 1}]\"\nb,a.png,Where?,No Objects\n";
const CLASSES: &str = "filename,label\na.png,1.0\na.png,nan\na.png,0.0\na.png,2.0\n";
const LISTED: &str = "a 1 one\na 2 two\n";
const SPLITS: &str = r#"{"train": [["a.png", 0, "rose"], ["a.png", 1, "tulip"]], "val": [], "test": [["a.png", 1, "tulip"]]}"#;
const REFERENCES: &str =
    r#"{"image": "a.png", "bbox": [1, 2, 10, 12], "sentences": ["the cat", "left one"]}"#;
const ANSWERS: &str = "[{\"bbox_2d\": [1, 2, 30, 40], \"label\": \"cat\"}]\n[{\"bbox\": [10, 20, 30.5, 40], \"label\": \"dog\"}]\n[5, 6, 70, 80]\n<answer>(1,2),(30,40)</answer>\n10, 20, 30, 40\n12.5%\n";
const LVIS: &str = r#"{"images": [{"id": 1, "file_name": "a.png", "width": 24, "height": 16, "neg_category_ids": [4], "not_exhaustive_category_ids": [3]}], "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 12], "segmentation": {"size": [16, 24], "counts": "34T;0"}}], "categories": [{"id": 3, "name": "cat", "frequency": "r"}, {"id": 4, "name": "dog", "frequency": "f"}]}"#;
const INSTRUCTIONS: &str = r#"{"text": ["where the light is"], "is_sentence": false, "shapes": [{"label": "target", "points": [[2, 2], [12, 2], [12, 12]]}, {"label": "ignore", "points": [[20, 2], [22, 2], [22, 12]]}]}"#;
const RECORDINGS: &str = r#"{"codebase_version": "v2.1", "fps": 5, "chunks_size": 1000, "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet", "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4", "splits": {"train": "0:1"}, "features": {"action": {"dtype": "float32", "shape": [1]}, "observation.images.top": {"dtype": "video", "shape": [16, 24, 3]}}}"#;

/// Moments of an episode of a robot, as LeRobot has them.
fn moments() -> Vec<u8> {
    let whole = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; 3])) };
    let seconds: ArrayRef = Arc::new(Float32Array::from(vec![0.0, 0.2, 0.4]));
    let table = RecordBatch::try_from_iter([
        ("action", Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0])) as ArrayRef),
        ("timestamp", seconds),
        ("frame_index", Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef),
        ("episode_index", whole(0)),
        ("index", Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef),
        ("task_index", whole(0)),
    ]);
    let table = table.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    bytes
}

/// Whether the recordings of a robot are read as far as to their video, which is not there.
fn recorded(folder: &Path, info: &[u8], table: &[u8]) -> bool {
    let folder = folder.join("robot");
    for (name, bytes) in [
        ("meta/info.json", info),
        ("meta/tasks.jsonl", br#"{"task_index": 0, "task": "Pick up the cup."}"#),
        ("data/chunk-000/episode_000000.parquet", table),
    ] {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
    let robot = RobotConfig { truth: "action".to_owned(), ..RobotConfig::default() };
    let options = OpenOptions { robot, ..OpenOptions::default() };
    match Dataset::open_with(&folder, &options) {
        Ok(rows) => !rows.is_empty(),
        Err(why) => why.to_string().contains("episode_000000.mp4"),
    }
}

/// What is done with a damaged file: whether it was read.
type Try = fn(&Path, &[u8]) -> bool;

/// A kind of input, an intact one of it, and what is done with a damaged one.
struct Kind {
    name: &'static str,
    original: Vec<u8>,
    attempt: Try,
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |name, original: Vec<u8>, attempt| kinds.push(Kind { name, original, attempt });
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    for (name, format) in [
        ("png", Png),
        ("jpeg", Jpeg),
        ("webp", WebP),
        ("bmp", Bmp),
        ("gif", Gif),
        ("tiff", Tiff),
        ("pnm", Pnm),
    ] {
        add(name, picture(format), |_, bytes| {
            let header = vrft_vision::Header::of(bytes).is_ok();
            vrft_vision::decode(bytes).is_ok() && header
        });
    }
    let rows = |folder: &Path, bytes: &[u8]| opened(folder, "rows.jsonl", bytes);
    add("rows", format!("{ROW}\n{TALK}\n{ROW}\n").into(), rows);
    add("ids", ROW.replace("\"a\"", "\"../../x\"").into(), rows);
    let json = |folder: &Path, bytes: &[u8]| opened(folder, "rows.json", bytes);
    add("list of rows", format!("[{ROW}, {TALK}]").into(), json);
    add("coco", COCO.into(), json);
    add("voc", VOC.into(), |folder, bytes| {
        let voc = folder.join("voc");
        fs::create_dir_all(&voc).unwrap();
        fs::write(voc.join("a.png"), picture(Png)).unwrap();
        fs::write(voc.join("a.xml"), bytes).unwrap();
        read(&voc)
    });
    add("lvis", LVIS.into(), json);
    add("table of commas", TABLE.into(), |folder, bytes| opened(folder, "rows.csv", bytes));
    add("table of classes", CLASSES.into(), |folder, bytes| classes(folder, "rows.csv", bytes));
    add("list of pictures", LISTED.into(), |folder, bytes| classes(folder, "rows.txt", bytes));
    add("splits of labeled pictures", SPLITS.into(), |folder, bytes| {
        classes(folder, "rows.json", bytes)
    });
    add("references to boxes", REFERENCES.into(), rows);
    add("answers to infer from", ANSWERS.into(), |_, bytes| inferred(bytes));
    add("instructions beside pictures", INSTRUCTIONS.into(), |folder, bytes| {
        let beside = folder.join("beside");
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("a.png"), picture(Png)).unwrap();
        fs::write(beside.join("a.json"), bytes).unwrap();
        read(&beside)
    });
    add("recordings of a robot", RECORDINGS.into(), |folder, bytes| {
        recorded(folder, bytes, &moments())
    });
    add("moments of a robot", moments(), |folder, bytes| {
        recorded(folder, RECORDINGS.as_bytes(), bytes)
    });
    for (name, codec) in [
        ("parquet", Compression::UNCOMPRESSED),
        ("parquet, snappy", Compression::SNAPPY),
        ("parquet, gzip", Compression::GZIP(parquet::basic::GzipLevel::default())),
        ("parquet, brotli", Compression::BROTLI(parquet::basic::BrotliLevel::default())),
        ("parquet, lz4", Compression::LZ4_RAW),
        ("parquet, zstd", Compression::ZSTD(parquet::basic::ZstdLevel::default())),
    ] {
        add(name, parquet(codec), |folder, bytes| opened(folder, "rows.parquet", bytes));
    }
    let arrow = |folder: &Path, bytes: &[u8]| opened(folder, "rows.arrow", bytes);
    add("arrow file", ipc(false), arrow);
    add("arrow stream", ipc(true), arrow);
    let state =
        r#"{"_data_files": [{"filename": "b.arrow"}], "_split": "train", "_indices_files": []}"#;
    add("state of a saved data set", state.into(), |folder, bytes| {
        let saved = folder.join("saved");
        fs::create_dir_all(&saved).unwrap();
        fs::write(saved.join("b.arrow"), ipc(true)).unwrap();
        fs::write(saved.join("state.json"), bytes).unwrap();
        read(&saved)
    });
    let config = fs::read(root().join("tests/digits.toml")).unwrap();
    add("configuration", config, |_, bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(document) = Document::parse(text, "damaged") else { return false };
        let data = document.section::<DataConfig>().is_ok();
        let rewards = RewardsConfig::read(&document).is_ok();
        data && rewards && document.section::<EvaluationConfig>().is_ok()
    });
    for (name, file) in [
        ("chat template", "chat_template.jinja"),
        ("model configuration", "config.json"),
        ("preprocessor configuration", "processor_config.json"),
        ("tokenizer configuration", "tokenizer_config.json"),
    ] {
        let (attempt, original) = of_checkpoint(file);
        kinds.push(Kind { name, original, attempt });
    }
    kinds
}

/// A file of the starter checkpoint and how a damaged one is tried.
fn of_checkpoint(file: &str) -> (Try, Vec<u8>) {
    let bytes = fs::read(root().join("data/starter").join(file)).unwrap();
    let attempt: Try = match file {
        "chat_template.jinja" => |f, b| processes(f, "chat_template.jinja", b),
        "config.json" => |f, b| processes(f, "config.json", b),
        "processor_config.json" => |f, b| processes(f, "processor_config.json", b),
        _ => |f, b| processes(f, "tokenizer_config.json", b),
    };
    (attempt, bytes)
}

/// Whether a processor with this damaged file encodes a question.
fn processes(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = folder.join("checkpoint").join(name);
    let intact = fs::read(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let messages = serde_json::json!([{"role": "user", "content": [
        {"type": "image"}, {"type": "text", "text": "<|im_end|> where?"}]}]);
    let processor = Processor::load(&folder.join("checkpoint"));
    let counted = processor.is_ok_and(|p| p.count_tokens(&messages, &[(64, 48)]).is_ok());
    fs::write(&path, intact).unwrap();
    counted
}

fn opened(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let read = read(&path);
    fs::remove_file(path).unwrap();
    read
}

/// Whether pictures with a class each are read, up to their pixels.
fn classes(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let options = OpenOptions { split: Some("train".to_owned()), ..OpenOptions::default() };
    // A table has no splits.
    let opened = Dataset::open_with(&path, &options).or_else(|_| Dataset::open(&path));
    fs::remove_file(path).unwrap();
    opened.is_ok_and(|rows| rows.retain_valid(Row::decode, 1.0).is_ok_and(|rows| !rows.is_empty()))
}

/// Whether a task is proposed or refused for these answers, a line each, on pictures of several sizes.
fn inferred(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let sizes = [None, Some([640, 480]), Some([1, 1]), Some([4000, 3000])];
    for size in sizes {
        let example = |solution| Example { place: "here", question: "Where?", solution, size };
        let all: Vec<Example> = text.lines().map(example).collect();
        let proposal = vrft_reward::infer(&all);
        // Each alone, three times over: an answer is of some kind, whatever it is.
        let alone = |one: &Example| vrft_reward::infer(&[*one; 3]).is_ok();
        if proposal.is_ok() || all.iter().filter(|one| alone(one)).count() > 0 {
            return true;
        }
    }
    false
}

/// Whether a row can be read to its answer and its pixels.
fn read(path: &Path) -> bool {
    let Ok(dataset) = Dataset::open(path) else { return false };
    let reward = RewardConfig::default();
    let prompter = Prompter::new(&reward, "").for_data(&dataset, Declared::default());
    let Ok(prompter) = prompter else { return false };
    let check = |row: &Row| {
        let truth = prompter.truth(row, &Ok)?;
        let parsed = Reward::new(&reward).parse_answer(&truth);
        parsed.map_err(|error| error.to_string())?;
        let turns = prompter.turns(row);
        if turns.is_empty() { Err("no turns".to_owned()) } else { row.decode() }
    };
    dataset.retain_valid(check, 1.0).is_ok_and(|rows| !rows.is_empty())
}

/// Most memory that this process ever had, in kB.
fn peak_kb() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Ends the program, with its name, if an input takes too long.
fn watch(current: Arc<Mutex<(String, Instant)>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let (name, start) = current.lock().unwrap().clone();
            if start.elapsed() > PATIENCE {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        }
    });
}

/// A folder with a picture and a checkpoint that rows and processors need besides the damaged file.
fn surroundings() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    fs::write(path.join("a.png"), picture(ImageFormat::Png)).unwrap();
    fs::create_dir(path.join("checkpoint")).unwrap();
    for entry in fs::read_dir(root().join("data/starter")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "safetensors") {
            fs::copy(&file, path.join("checkpoint").join(file.file_name().unwrap())).unwrap();
        }
    }
    (folder, path)
}

#[test]
fn nothing_from_outside_ends_the_program() {
    let n = std::env::var("VRFT_MUTATIONS").map_or(FEW, |n| n.parse().unwrap());
    let kinds = kinds();
    let (_folder, path) = surroundings();
    for kind in &kinds {
        assert!((kind.attempt)(&path, &kind.original), "an intact {} is not read", kind.name);
    }
    let current = Arc::new(Mutex::new((String::new(), Instant::now())));
    watch(current.clone());
    let mut outcomes: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut panicked = Vec::new();
    let mut slowest = (Duration::ZERO, String::new());
    for number in 0..n {
        let kind = &kinds[number % kinds.len()];
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        let bytes = mutated(&kind.original, &mut dice);
        let name = format!("{} number {number}", kind.name);
        let start = Instant::now();
        *current.lock().unwrap() = (name.clone(), start);
        match catch_unwind(AssertUnwindSafe(|| (kind.attempt)(&path, &bytes))) {
            Ok(read) => outcomes.entry(kind.name).or_default()[usize::from(read)] += 1,
            Err(_) => {
                keep(&name, &bytes);
                panicked.push(name.clone());
            }
        }
        slowest = slowest.max((start.elapsed(), name));
    }
    *current.lock().unwrap() = (String::new(), Instant::now());
    let mut report = String::new();
    for (kind, [refused, read]) in outcomes {
        writeln!(report, "{kind:<28} {refused:>5} refused {read:>5} read").unwrap();
    }
    println!("{report}{n} inputs, {} panics, peak {} kB", panicked.len(), peak_kb());
    println!("slowest: {} in {:?}", slowest.1, slowest.0);
    assert!(panicked.is_empty(), "{panicked:?}");
    assert!(peak_kb() < MAX_KB, "{} kB", peak_kb());
}

/// Keeps an input that panics, to be looked at.
fn keep(name: &str, bytes: &[u8]) {
    let path = std::env::temp_dir().join(name.replace([' ', ','], "-"));
    let _written = File::create(&path).and_then(|_| fs::write(&path, bytes)).is_ok();
    eprintln!("{name} panics; it is kept in {path:?}");
}
