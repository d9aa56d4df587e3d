//! Text into markup: escaping, sections, figures, data URIs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Escapes text for content and for quoted attributes. Completions are written by a model: nothing in them is markup.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters have no place in HTML, apart from white space.
            control if control.is_control() && !matches!(control, '\n' | '\t') => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// A section with its heading; nothing when the body is empty.
pub(crate) fn section(id: &str, heading: &str, intro: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let intro =
        if intro.is_empty() { String::new() } else { format!("<p class=intro>{intro}</p>\n") };
    format!("<section id={id}>\n<h2>{heading}</h2>\n{intro}{body}\n</section>\n")
}

/// A figure: title, one line of explanation, legend, drawing. The title and the note are ours; the rest is markup already.
pub(crate) fn figure(title: &str, note: &str, legend: &str, drawing: &str) -> String {
    format!(
        "<figure class=chart><figcaption><h3>{title}</h3><p>{note}</p>{legend}</figcaption>\n{drawing}</figure>\n"
    )
}

/// One entry of a legend: color, name, and a value that may be empty.
pub(crate) fn legend_entry(class: &str, name: &str, value: &str) -> String {
    let name = escape(name);
    format!("<li class=\"{class}\"><i class=swatch></i>{name} <b>{value}</b></li>")
}

/// Entries as a list.
pub(crate) fn legend(entries: &str) -> String {
    format!("<ul class=legend>{entries}</ul>")
}

/// A folded block of preformatted text.
pub(crate) fn folded(summary: &str, text: &str) -> String {
    format!("<details><summary>{summary}</summary><pre>{}</pre></details>\n", escape(text))
}

/// An image as a data URI; `None` when the bytes are of no kind that browsers show.
pub(crate) fn data_uri(bytes: &[u8]) -> Option<String> {
    let kind = match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        _ => return None,
    };
    Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(
            escape("<script>alert('&\"')</script>"),
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"
        );
        assert_eq!(escape("a\u{0}\u{1b}b\nc"), "a\u{fffd}\u{fffd}b\nc");
    }

    #[test]
    fn an_image_is_known_by_its_first_bytes() {
        assert!(data_uri(b"\x89PNG\r\n\x1a\n").unwrap().starts_with("data:image/png;base64,iVBO"));
        assert_eq!(data_uri(b"<svg onload=x>"), None);
    }
}
