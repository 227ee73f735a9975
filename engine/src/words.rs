//! Words, as searches compare them: without accents, capitals and punctuation.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// A word, in the form that is compared and as it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'t> {
    /// Without accents and capitals.
    pub folded: String,
    /// As it was written.
    pub written: &'t str,
}

/// The words of a text, in order. In scripts that put no space between words each character is one.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    pieces(text).flat_map(|written| {
        let folded = fold(written);
        let words = folded.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(|word| Word { folded: word.to_owned(), written }).collect::<Vec<_>>()
    })
}

/// A text without accents and capitals.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase) {
        match plain(character) {
            Some(letters) => folded.push_str(letters),
            None => folded.push(character),
        }
    }
    folded
}

/// Letters that people leave the stroke or the tie of when they type, and that Unicode does not take apart.
const fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        'æ' => "ae",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ł' => "l",
        'ø' => "o",
        'œ' => "oe",
        'ß' => "ss",
        'þ' => "th",
        'ς' => "σ",
        _ => return None,
    })
}

/// The text cut at everything that is no letter, digit or accent, and around characters that are words of their own.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(is_part)?;
        let found = rest.get(start..)?;
        let first = found.chars().next()?;
        let ends = |character: char| !is_part(character) || stands_alone(character);
        let length = if stands_alone(first) { first.len_utf8() } else { found.find(ends).unwrap_or(found.len()) };
        let (piece, after) = found.split_at_checked(length)?;
        rest = after;
        Some(piece)
    })
}

fn is_part(character: char) -> bool {
    character.is_alphanumeric() || is_combining_mark(character)
}

/// Han, Kana, and the scripts of Thailand, Laos, Myanmar and Cambodia.
const fn stands_alone(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_into_words_and_folded() {
        let cases: [(&str, &[&str]); 13] = [
            ("Hello, World!", &["hello", "world"]),
            ("José Núñez", &["jose", "nunez"]),
            ("Jose\u{301} e\u{301}", &["jose", "e"]),
            ("Łukasz Straße Ærø", &["lukasz", "strasse", "aero"]),
            ("ΟΔΟΣ οδός", &["οδοσ", "οδοσ"]),
            ("İstanbul ısı", &["istanbul", "isi"]),
            ("ﬁne ½ x²", &["fine", "1", "2", "x2"]),
            ("it's 4:30pm", &["it", "s", "4", "30pm"]),
            ("東京タワー", &["東", "京", "タ", "ワ", "ー"]),
            ("ガラス", &["カ", "ラ", "ス"]),
            ("東京tower塔", &["東", "京", "tower", "塔"]),
            ("…—!", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = words(text).map(|word| word.folded).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_word_knows_how_it_was_written() {
        let written: Vec<_> = words("ÉCOLE (Nord)").map(|word| word.written).collect();
        assert_eq!(written, ["ÉCOLE", "Nord"]);
    }
}
