//! Git's packets: four hexadecimal digits of length, then the content.

/// One packet of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Content, without the line end.
    Line(&'a [u8]),
    /// The end of a message.
    Flush,
    /// A delimiter or the end of a response.
    Other,
}

/// Why bytes are no packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// They end within one.
    Short,
    /// They are something else.
    Garbage,
}

/// The longest packet, its four digits included.
const LONGEST: usize = 65_520;

/// All packets in `bytes`.
pub(super) fn packets(mut bytes: &[u8]) -> Result<Vec<Packet<'_>>, Unreadable> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let digits = bytes.get(..4).ok_or(Unreadable::Short)?;
        let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let length = digits.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or(Unreadable::Garbage)?;
        let (packet, length) = match length {
            0 => (Packet::Flush, 4),
            1 | 2 => (Packet::Other, 4),
            4..=LONGEST => {
                let line = bytes.get(4..length).ok_or(Unreadable::Short)?;
                (Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)), length)
            }
            _ => return Err(Unreadable::Garbage),
        };
        packets.push(packet);
        bytes = &bytes[length..];
    }
    Ok(packets)
}

/// The question for the refs that begin with one of `names`.
pub(super) fn question(names: &[&str]) -> Vec<u8> {
    let line = |text: &str| format!("{:04x}{text}\n", text.len() + 5);
    let names: String = names.iter().map(|name| line(&format!("ref-prefix {name}"))).collect();
    let question = [&line("command=ls-refs"), &line("object-format=sha1"), "0001", &line("peel"), &line("symrefs")];
    format!("{}{names}0000", question.concat()).into_bytes()
}
