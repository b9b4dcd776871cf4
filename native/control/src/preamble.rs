//! The first 48 bytes of a data connection, in clear: which session it belongs to and the nonce that proves that its
//! maker was told so over the control connection. The nonce works once; what follows is end to end between the
//! program's client and its worker.

/// Length in bytes.
pub const PREAMBLE_LENGTH: usize = 48;

const MAGIC: &[u8; 8] = b"AQFDATA1";

/// A session's id or an attach nonce: 16 random bytes, written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token16(pub [u8; 16]);

impl Token16 {
    /// Parses exactly 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(*pair.first()?)? << 4 | hex_digit(*pair.last()?)?;
        }
        Some(Self(bytes))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Display for Token16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::fmt::Debug for Token16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What a data connection says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The session to attach to.
    pub session: Token16,
    /// The single-use nonce of `open`'s answer.
    pub attach: Token16,
}

impl Preamble {
    /// Its bytes on the wire.
    pub fn encode(&self) -> [u8; PREAMBLE_LENGTH] {
        let mut bytes = [0; PREAMBLE_LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.session.0);
        bytes[24..40].copy_from_slice(&self.attach.0);
        bytes
    }

    /// Reads it; `None` when the magic is another or the reserved bytes are not zero.
    pub fn decode(bytes: &[u8; PREAMBLE_LENGTH]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (session, rest) = rest.split_first_chunk::<16>()?;
        let (attach, reserved) = rest.split_first_chunk::<16>()?;
        (magic == MAGIC && reserved.iter().all(|byte| *byte == 0)).then_some(Self {
            session: Token16(*session),
            attach: Token16(*attach),
        })
    }
}

/// Whether a connection that begins with this byte may be a data connection.
pub fn begins_preamble(first: u8) -> bool {
    first == MAGIC[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Preamble = Preamble {
        session: Token16([7; 16]),
        attach: Token16([0xab; 16]),
    };

    #[test]
    fn decode_gives_back_what_was_encoded() {
        assert_eq!(Preamble::decode(&SAMPLE.encode()), Some(SAMPLE));
    }

    #[test]
    fn another_magic_or_a_reserved_byte_is_refused() {
        for index in (0..8).chain(40..48) {
            let mut bytes = SAMPLE.encode();
            bytes[index] ^= 1;
            assert_eq!(Preamble::decode(&bytes), None, "byte {index}");
        }
    }

    #[test]
    fn tokens_are_32_lower_case_digits() {
        let text = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(Token16::parse(text).unwrap().to_string(), text);
        for wrong in [
            "",
            "00",
            &text.to_uppercase(),
            &format!("{text}0"),
            "zz0102030405060708090a0b0c0d0e0f",
        ] {
            assert_eq!(Token16::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Token16::parse("é0102030405060708090a0b0c0d0e0f"), None);
    }
}
