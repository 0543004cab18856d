//! The frames of WebSockets (RFC 6455), of which a byte stream is made again: messages mean nothing here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What a server adds to a client's key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest frame that a client may send.
const LONGEST: u64 = 1 << 20;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[derive(Default)]
pub struct Frames {
    waiting: Vec<u8>,
    /// Bytes go as text, for clients that know nothing else.
    pub base64: bool,
}

/// The answer to a client's key.
pub fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{MAGIC}")))
}

impl Frames {
    pub fn new(base64: bool) -> Frames {
        Frames {
            waiting: Vec::new(),
            base64,
        }
    }

    /// Appends what the frames hold, and gives what is to be answered to them.
    pub fn unpack(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<Vec<u8>, &'static str> {
        self.waiting.extend_from_slice(bytes);
        let mut answers = Vec::new();
        while let Some(Frame { kind, content, used }) = read(&self.waiting)? {
            self.waiting.drain(..used);
            match kind {
                0 | TEXT | BINARY if self.base64 => {
                    let bytes = STANDARD.decode(&content).map_err(|_| "frames: not base64")?;
                    plain.extend_from_slice(&bytes);
                }
                0 | TEXT | BINARY => plain.extend_from_slice(&content),
                PING => answers.extend(frame(PONG, &content)),
                PONG => {}
                _ => return Err("frames: closed"),
            }
        }
        Ok(answers)
    }

    pub fn pack(base64: bool, bytes: &[u8]) -> Vec<u8> {
        match base64 {
            true => frame(TEXT, STANDARD.encode(bytes).as_bytes()),
            false => frame(BINARY, bytes),
        }
    }

    /// The last frame: all went well.
    pub fn closing() -> Vec<u8> {
        frame(CLOSE, &1000_u16.to_be_bytes())
    }
}

/// A whole message of a server, which is not masked.
fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind];
    match content.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(content);
    frame
}

/// A client's frame, and how many bytes it took.
struct Frame {
    kind: u8,
    content: Vec<u8>,
    used: usize,
}

/// The first frame; `None`: more must come first.
fn read(bytes: &[u8]) -> Result<Option<Frame>, &'static str> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err("frames: clients mask theirs");
    }
    // Long ones tell their length in bytes of its own.
    let digits = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(length) = rest.get(..digits) else {
        return Ok(None);
    };
    let length = match digits {
        0 => u64::from(second & 0x7f),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if length > LONGEST {
        return Err("frames: too long");
    }
    let start = digits + 4;
    let end = start + length as usize;
    let Some(masked) = rest.get(..end) else {
        return Ok(None);
    };
    let mask = &masked[digits..start];
    let content = masked[start..].iter().zip(mask.iter().cycle());
    let content = content.map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Frame {
        kind: first & 0x0f,
        content,
        used: 2 + end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a client sends it.
    fn masked(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = frame(kind, content);
        bytes[1] |= 0x80;
        let at = bytes.len() - content.len();
        let tail: Vec<u8> = bytes[at..].iter().map(|byte| byte ^ 0x5a).collect();
        bytes.truncate(at);
        bytes.extend_from_slice(&[0x5a; 4]);
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn the_key_of_the_standard_is_answered() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_of_all_lengths_come_in_pieces_of_any_size() {
        let contents: Vec<Vec<u8>> = [0, 1, 125, 126, 70_000]
            .map(|length| vec![length as u8 | 1; length])
            .into();
        let sent: Vec<u8> = contents
            .iter()
            .flat_map(|content| masked(BINARY, content))
            .collect();
        for size in [1, 3, sent.len()] {
            let (mut frames, mut plain) = (Frames::new(false), Vec::new());
            for piece in sent.chunks(size) {
                assert!(frames.unpack(piece, &mut plain).expect("readable").is_empty());
            }
            assert!(plain == contents.concat(), "in pieces of {size}");
        }
    }

    #[test]
    fn pings_are_answered_and_strangers_refused() {
        let (mut frames, mut plain) = (Frames::new(true), Vec::new());
        let answer = frames.unpack(&masked(PING, b"are you there"), &mut plain);
        assert_eq!(answer.expect("a pong"), frame(PONG, b"are you there"));
        frames
            .unpack(&masked(TEXT, b"aGVsbG8="), &mut plain)
            .expect("base64");
        assert_eq!(plain, b"hello");
        assert!(frames.unpack(&frame(BINARY, b"not masked"), &mut plain).is_err());
        let long = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes()].concat();
        assert!(Frames::new(false).unpack(&long, &mut plain).is_err());
        assert!(
            Frames::new(false)
                .unpack(&masked(CLOSE, b""), &mut plain)
                .is_err()
        );
    }
}
