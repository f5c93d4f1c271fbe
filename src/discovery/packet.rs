//! Packets: what comes in is bounded before it is read, and what goes out is built in one place.

use simple_dns::rdata::RData;
use simple_dns::{Label, Name, OPCODE, Packet, PacketFlag, RCODE, ResourceRecord};

/// The port of multicast DNS. An answer that comes from another one is none.
pub(super) const PORT: u16 = 5353;
/// The longest packet (RFC 6762, section 17).
pub(super) const LARGEST: usize = 9000;

const HEADER: usize = 12;
/// The shortest question: the root, a type, a class.
const QUESTION: usize = 5;
/// The shortest record: the root, type, class, time to live, length.
const RECORD: usize = 11;

/// Reads a packet. `None` for what is none, and for what RFC 6762 (section 18) has ignored.
///
/// The parser reserves room for as many entries as a header promises, so a header that promises
/// more than its packet can hold is refused first.
pub(super) fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    let count = |at: usize| {
        let two = bytes.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([two[0], two[1]])))
    };
    let records = count(6)? + count(8)? + count(10)?;
    if bytes.len() > LARGEST || HEADER + count(4)? * QUESTION + records * RECORD > bytes.len() {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    let is_plain = packet.opcode() == OPCODE::StandardQuery && packet.rcode() == RCODE::NoError;
    is_plain.then_some(packet)
}

/// Whether a packet answers, and does not ask.
pub(super) fn is_response(packet: &Packet<'_>) -> bool {
    packet.has_flags(PacketFlag::RESPONSE)
}

/// An empty answer, as multicast DNS has it.
pub(super) fn response(id: u16) -> Packet<'static> {
    let mut packet = Packet::new_reply(id);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet
}

/// A packet as it is sent. Ours hold nothing that cannot be written.
pub(super) fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().unwrap_or_default()
}

/// A name from its text; no label of ours has a dot in it.
pub(super) fn name(text: &str) -> Name<'static> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    from_labels(labels.map(str::as_bytes))
}

/// A name in front of another one, as one label whatever is in it.
pub(super) fn below(label: &str, parent: &str) -> Name<'static> {
    let labels = parent.split('.').map(str::as_bytes);
    from_labels(std::iter::once(label.as_bytes()).chain(labels))
}

fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Name<'static> {
    let labels: Vec<_> = labels.map(|label| Label::new_unchecked(label.to_vec())).collect();
    Name::new_with_labels(&labels)
}

/// A record's place in the order that settles two probes at once (RFC 6762, section 8.2): class,
/// type, then the data without compression.
pub(super) fn rank(record: &ResourceRecord<'_>) -> (u16, u16, Vec<u8>) {
    (record.class as u16, record.rdata.type_code().into(), data(&record.rdata))
}

/// A record's data as it is written without compression.
fn data(rdata: &RData<'_>) -> Vec<u8> {
    let root = Name::new_with_labels(&[]);
    let mut packet = Packet::new_reply(0);
    packet.answers.push(ResourceRecord::new(root, simple_dns::CLASS::IN, 0, rdata.clone()));
    let bytes = packet.build_bytes_vec().unwrap_or_default();
    bytes.get(HEADER + RECORD..).unwrap_or_default().to_vec()
}
