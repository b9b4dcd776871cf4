//! The one thing we want to know of a certificate ourselves: when it ends.

/// Reads one DER element: its tag, its contents, and what follows. Lengths of more than four bytes are refused.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                digits
                    .iter()
                    .fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit)),
                rest,
            )
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes)
        .filter(|(tag, ..)| *tag == SEQUENCE)
        .map(|(_, contents, _)| contents)
}

/// The end of a certificate's validity in seconds since 1970; `None` when it is no certificate (RFC 5280 section 4.1).
pub fn not_after(der: &[u8]) -> Option<u64> {
    let mut rest = sequence(sequence(der)?)?;
    if rest.first() == Some(&EXPLICIT_VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, _, end) = element(sequence(rest)?)?;
    let (tag, text, _) = element(end)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    match tag {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            seconds(
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        GENERALIZED_TIME => seconds(text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => None,
    }
}

/// Seconds since 1970 of a year and MMDDHHMMSS.
fn seconds(year: u64, rest: &str) -> Option<u64> {
    if rest.len() != 10 || year < 1970 {
        return None;
    }
    let mut parts = [0_u64; 5];
    for (index, part) in parts.iter_mut().enumerate() {
        *part = rest.get(index * 2..index * 2 + 2)?.parse().ok()?;
    }
    let [month, day, hour, minute, second] = parts;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar, counted in years that begin in March so that the leap day is the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 1 March of year 0 and 1 January 1970.
    Some(((days - 719_468) * 24 + hour) * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (year, rest, want) in [
            (1970, "0101000000", 0),
            (2000, "0229000000", 951_782_400),
            (2024, "1231235959", 1_735_689_599),
            (2038, "0119031407", 2_147_483_647),
        ] {
            assert_eq!(seconds(year, rest), Some(want), "{year} {rest}");
        }
        assert_eq!(seconds(2024, "1331000000"), None);
        assert_eq!(seconds(2024, "0é310000"), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\x00",
            &[0xff; 64],
        ] {
            assert_eq!(not_after(bytes), None);
        }
    }
}
