//! What a page says of itself: its [OpenGraph](https://ogp.me/) properties, its title, its description.
//!
//! Pages are written by strangers. They are not parsed whole, whose nesting has no end: the few tags that matter are cut out, and each
//! is parsed by itself.

use ruma::html::{Html, NodeRef};
use serde_json::{Map, Value};

/// Properties of one page, and how long each may be.
const PROPERTIES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 1_000;

/// Tags of one page that are looked at.
const TAGS_MAX: usize = 256;

/// Bytes of one tag.
const TAG_BYTES_MAX: usize = 8_192;

/// What a page says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// By their names: `og:title` and so on, without pictures, films and sounds.
    pub properties: Map<String, Value>,
    /// Where its picture is, as the page writes it.
    pub picture: Option<String>,
}

/// Reads a page.
pub fn read(html: &str) -> Page {
    let mut page = Page::default();
    let (mut title, mut description) = (None, None);
    for tag in Tags(html).take(TAGS_MAX) {
        let parsed = Html::parse(tag);
        let Some(node) = parsed.first_child() else { continue };
        match node.as_element().map(|element| &*element.name.local) {
            Some("title") if title.is_none() => title = text_of(&node),
            Some("meta") => {
                let Some(value) = attribute(&node, "content").map(|value| cut(&value)) else { continue };
                let Some(name) = attribute(&node, "property").or_else(|| attribute(&node, "name")) else { continue };
                match name.to_ascii_lowercase().as_str() {
                    "description" => description = description.or(Some(value)),
                    name => page.put(name, value),
                }
            }
            _ => {}
        }
    }
    for (name, value) in [("og:title", title), ("og:description", description)] {
        page.put_text(name, value.unwrap_or_default());
    }
    page
}

impl Page {
    fn put(&mut self, name: &str, value: String) {
        let foreign = ["og:image", "og:video", "og:audio"].iter().any(|kind| name.starts_with(kind));
        if matches!(name, "og:image" | "og:image:url" | "og:image:secure_url") {
            self.picture.get_or_insert(value);
        } else if name.starts_with("og:") && !foreign {
            self.put_text(name, value);
        }
    }

    /// The first one of a name counts.
    fn put_text(&mut self, name: &str, value: String) {
        let room = self.properties.len() < PROPERTIES_MAX && name.len() <= NAME_BYTES_MAX;
        if room && !value.is_empty() && !self.properties.contains_key(name) {
            self.properties.insert(name.to_owned(), value.into());
        }
    }
}

fn attribute(node: &NodeRef, name: &str) -> Option<String> {
    let attributes = node.as_element()?.attrs.borrow();
    attributes.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| attribute.value.to_string())
}

fn text_of(node: &NodeRef) -> Option<String> {
    let text: String = node.children().filter_map(|child| child.as_text().map(|text| text.borrow().to_string())).collect();
    Some(cut(&text)).filter(|text| !text.is_empty())
}

/// Of bounded length, on one line.
fn cut(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(VALUE_CHARS_MAX).collect()
}

/// The `<meta …>` and `<title>…</title>` of a page, in its order, apart from those in comments, scripts and styles.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = &self.0[self.0.find('<')?..];
            let opens = |name: &str| {
                let begins = rest.get(1..=name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
                begins && rest[1 + name.len()..].starts_with(|next: char| next.is_ascii_whitespace() || "/>".contains(next))
            };
            let (end, wanted) = if rest.starts_with("<!--") {
                (rest.find("-->").map(|at| at + 3), false)
            } else if let Some(name) = ["script", "style", "title"].into_iter().find(|name| opens(name)) {
                (end_of_element(rest, name), name == "title")
            } else {
                (end_of_tag(rest).or(Some(1)), opens("meta"))
            };
            // What is not closed goes on to the end of the page.
            let (tag, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.0 = after;
            if wanted && tag.len() <= TAG_BYTES_MAX {
                return Some(tag);
            }
        }
    }
}

/// Behind the `>` that closes the tag at the beginning of `rest`; one within quotes does not. A `<` within a tag is a new tag.
fn end_of_tag(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.bytes().enumerate().skip(1).take(TAG_BYTES_MAX) {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'<') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Behind the closing tag of the element at the beginning of `rest`, whose content is text.
fn end_of_element(rest: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + rest[from..].find("</")?;
        from = at + 2;
        if rest.get(from..from + name.len()).is_some_and(|close| close.eq_ignore_ascii_case(name)) {
            return Some(from + rest[from..].find('>')? + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(html: &str) -> Value {
        Value::Object(read(html).properties)
    }

    #[test]
    fn what_a_page_says_of_itself() {
        let html = r#"<!doctype html><html prefix="og: http://ogp.me/ns#"><head>
            <!-- <meta property="og:title" content="in a comment"> -->
            <script>document.write('<meta property="og:title" content="in a script">')</script>
            <title>Another &amp; longer title</title>
            <META Property='og:title' content="Rock &amp; &quot;Roll&quot; > all">
            <meta content="website" property="og:type"/>
            <meta property="og:title" content="a second one">
            <meta property="og:image" content="/a.png"><meta property="og:image:width" content="1">
            <meta property="og:video" content="https://films.example/1">
            <meta name="description" content="  What it
                is about ">
            <meta name="viewport" content="width=device-width"></head><body>1 < 2</body></html>"#;
        let page = read(html);
        assert_eq!(page.picture.as_deref(), Some("/a.png"));
        assert_eq!(
            Value::Object(page.properties),
            json!({ "og:title": "Rock & \"Roll\" > all", "og:type": "website", "og:description": "What it is about" })
        );
        assert_eq!(properties("<title>Only a title</title>"), json!({ "og:title": "Only a title" }));
        assert_eq!(properties("<p>nothing</p>"), json!({}));
        assert_eq!(properties("<metadata property='og:title' content='x'><titles>x</titles>"), json!({}));
    }

    #[test]
    fn pages_of_strangers_are_read_in_bounds() {
        let deep = "<div>".repeat(200_000) + "<meta property='og:title' content='deep'>";
        assert_eq!(properties(&deep), json!({ "og:title": "deep" }));
        let many: String = (0..1_000).map(|n| format!("<meta property='og:p{n}' content='x'>")).collect();
        assert_eq!(read(&many).properties.len(), PROPERTIES_MAX);
        let long = format!("<meta property='og:title' content='{}'>", "ä".repeat(2_000));
        assert_eq!(read(&long).properties["og:title"].as_str().unwrap().chars().count(), VALUE_CHARS_MAX);
        for broken in ["<", "<meta", "<meta property='og:title", "<title>", "<!--", "<script>", "</", "<ä>"] {
            assert_eq!(properties(broken), json!({}), "{broken}");
        }
        assert_eq!(properties("<a <meta property='og:title' content='x'>"), json!({ "og:title": "x" }));
        let quotes = "<\"".repeat(300_000);
        assert_eq!(properties(&quotes), json!({}));
    }
}
