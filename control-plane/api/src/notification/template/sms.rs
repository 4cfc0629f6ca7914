//! What an SMS costs: letters of its small alphabet are seven bits, and one other letter makes all of them sixteen.

/// The small alphabet of GSM 03.38, without what is two letters in it.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// What is in it as two letters.
const EXTENDED: &str = "^{}\\[~]|€";

/// Without what is no letter, and with plain signs for typographic ones, which look the same to who reads and double the
/// price.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{2032}' => plain.push('\''),
            '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{00AB}' | '\u{00BB}' | '\u{2033}' => plain.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{2026}' => plain.push_str("..."),
            '\u{00A0}' | '\u{2002}'..='\u{200A}' | '\u{202F}' | '\t' => plain.push(' '),
            '\u{200B}'..='\u{200D}' | '\u{FEFF}' | '\u{00AD}' => {}
            '\n' => plain.push('\n'),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    let lines = plain.lines().map(|line| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// How many messages the network counts.
pub fn segments(text: &str) -> usize {
    let septets = text.chars().try_fold(0, |sum, letter| {
        if BASIC.contains(letter) { Some(sum + 1) } else { EXTENDED.contains(letter).then_some(sum + 2) }
    });
    match septets {
        Some(count) if count <= 160 => 1,
        Some(count) => usize::div_ceil(count, 153),
        None => {
            let units = text.encode_utf16().count();
            if units <= 70 { 1 } else { units.div_ceil(67) }
        }
    }
}

/// Whether every letter is in the small alphabet.
#[cfg(test)]
pub(crate) fn is_small(text: &str) -> bool {
    text.chars().all(|letter| BASIC.contains(letter) || EXTENDED.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_as_networks_do() {
        assert_eq!(segments(&"a".repeat(160)), 1);
        assert_eq!(segments(&"a".repeat(161)), 2);
        assert_eq!(segments(&"a".repeat(307)), 3);
        assert_eq!(segments(&"€".repeat(80)), 1);
        assert_eq!(segments(&"€".repeat(81)), 2);
        assert_eq!(segments(&"ж".repeat(70)), 1);
        assert_eq!(segments(&"ж".repeat(71)), 2);
        assert_eq!(segments(&"😀".repeat(36)), 2);
    }

    #[test]
    fn typographic_signs_cost_nothing() {
        let text = plain("\u{201C}Ada\u{2019}s\u{201D}\u{00A0}bread \u{2013} soon\u{2026}\u{0007}  \n\n");
        assert_eq!(text, "\"Ada's\" bread - soon...");
        assert!(is_small(&text));
    }
}
