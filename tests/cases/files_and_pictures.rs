//! Files in the encodings, codecs and layouts that are about, and pictures of all formats and shapes.

use super::*;

#[test]
fn splits_of_a_folder_are_told_apart_by_their_names() {
    for (train, test) in [
        ("train-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"),
        ("train.jsonl", "test.jsonl"),
        ("data/train-00000-of-00001.jsonl", "data/validation-00000-of-00001.jsonl"),
    ] {
        let folder = folder();
        let below = folder.path().join(train).parent().unwrap().to_owned();
        let all = lines(&below, 20, |_, _| ());
        write(folder.path(), train, all[..12].join("\n"));
        write(folder.path(), test, all[12..].join("\n"));
        refused(folder.path(), &[], &["several splits", "data.split", "train (1 file)"]);
        accepted(folder.path(), &["data.split=train"], &["12 rows, 12 usable, 0 skipped, 12 used"]);
        refused(folder.path(), &["data.split=all"], &["all", "train"]);
    }
}

#[test]
fn json_is_read_in_whatever_way_it_was_written() {
    let folder = folder();
    let all = lines(folder.path(), 8, |_, _| ());
    let absolute = folder.path().display().to_string();
    let text = all.join("\n");
    let named = |start: &str| text.replace("\"image\":\"", &format!("\"image\":\"{start}"));
    let below =
        |name: &str| fs::copy(folder.path().join("0.bmp"), folder.path().join(name)).unwrap();
    fs::create_dir(folder.path().join("img")).unwrap();
    (0..8).for_each(|k| _ = below(&format!("img/{k}.bmp")));
    for (name, bytes) in [
        ("array.json", format!("[{}]", all.join(",\n")).into_bytes()),
        ("array.jsonl", format!("  [\n{}]", all.join(",")).into_bytes()),
        ("bom.jsonl", [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat()),
        (
            "bom.json",
            [b"\xef\xbb\xbf".as_slice(), format!("[{}]", all.join(",")).as_bytes()].concat(),
        ),
        ("crlf.jsonl", all.join("\r\n").into_bytes()),
        ("blank.jsonl", format!("\n{}\n\n", all.join("\n\n")).into_bytes()),
        ("nan.jsonl", text.replace("\"problem\"", "\"score\":NaN,\"problem\"").into_bytes()),
        ("absolute.jsonl", named(&format!("{absolute}/")).into_bytes()),
        ("url.jsonl", named(&format!("file://{absolute}/")).into_bytes()),
        ("dots.jsonl", named("./").into_bytes()),
        ("windows.jsonl", named("img\\\\").into_bytes()),
    ] {
        let said = accepted(&write(folder.path(), name, bytes), &[], &[]);
        assert!(said.contains("8 rows, 8 usable, 0 skipped, 8 used"), "{name}: {said}");
    }
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, words) in [
        ("utf16.jsonl", [b"\xff\xfe".as_slice(), &utf16].concat(), "iconv"),
        ("web.jsonl", named("https://example.com/").into_bytes(), "download the pictures"),
        ("s3.jsonl", named("s3://bucket/").into_bytes(), "s3://bucket"),
        ("cut.jsonl", text.as_bytes()[..text.len() - 40].to_vec(), "row 7"),
        ("page.jsonl", b"<!DOCTYPE html><html></html>".to_vec(), "page.jsonl"),
    ] {
        let settings: &[&str] =
            if name == "cut.jsonl" { &["data.max_bad_fraction=0"] } else { &[] };
        refused(&write(folder.path(), name, bytes), settings, &[name, words]);
    }
}

#[test]
fn tables_of_every_codec_are_read() {
    let codecs = root().join("libs/dataset/tests/codecs");
    let mut n = 0;
    for path in vrft_tests::files_under(&codecs) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".py") || name == "no-rows.parquet" {
            continue;
        }
        let text = check(&path, &["data.max_bad_fraction=1"]).1;
        // What these rows ask is not about boxes: only that they are read is of interest here.
        assert!(
            !text.contains("Disabled feature") && !text.contains("is damaged"),
            "{name}: {text}"
        );
        n += 1;
    }
    assert!(n >= 8, "{n}");
}

#[test]
fn pictures_of_all_formats_are_decoded_or_refused_by_the_name_of_the_format() {
    let folder = folder();
    let check_one = |name: &str| {
        let row = json!({"image": name, "problem": "Where?", "solution": squares::solution(0)});
        write(folder.path(), "rows.jsonl", row.to_string())
    };
    for name in ["a.gif", "a.tif", "a.ppm", "a.pgm", "a.bmp", "a.png", "a.jpg", "a.webp"] {
        let gray = DynamicImage::from(RgbImage::from_pixel(40, 30, image::Rgb([90; 3])));
        let picture = if name == "a.pgm" { DynamicImage::from(gray.to_luma8()) } else { gray };
        picture.save(folder.path().join(name)).unwrap();
        accepted(&check_one(name), &[], &["1 row, 1 usable, 0 skipped"]);
        // By what it is, not by what it is called.
        fs::rename(folder.path().join(name), folder.path().join("a.dat")).unwrap();
        accepted(&check_one("a.dat"), &[], &["1 row, 1 usable, 0 skipped"]);
    }
    let brand = |brand: &[u8; 4]| [b"\0\0\0\x1cftyp", brand.as_slice(), &[0; 40]].concat();
    for (name, bytes, format) in [
        ("b.avif", brand(b"avif"), "AVIF"),
        ("b.heic", brand(b"heic"), "HEI"),
        ("b.jp2", [b"\0\0\0\x0cjP  \r\n\x87\n".as_slice(), &[0; 40]].concat(), "JPEG 2000"),
        ("b.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(), "SVG"),
        ("b.pdf", b"%PDF-1.7\n%abc".to_vec(), "PDF"),
    ] {
        write(folder.path(), name, bytes);
        refused(&check_one(name), &[], &["row 0", name, format]);
    }
}

#[test]
fn a_picture_that_no_model_can_see_is_left_out_before_the_first_step() {
    let folder = folder();
    for size in [(1000, 4), (2, 900)] {
        picture(folder.path(), "strip.png", size, 0);
        let data = rows(folder.path(), 40, |idx, row| {
            if idx == 8 {
                row["image"] = "strip.png".into();
            }
        });
        accepted(&data, &[], &["40 rows, 39 usable, 1 skipped, 39 used", "skipped row 8: image"]);
        refused(&data, &["data.max_bad_fraction=0"], &["rows.jsonl", "row 8: image"]);
    }
}
