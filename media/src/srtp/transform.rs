//! The four suites at work: session keys out of a master key, nonces, and what each tag covers.
//!
//! ```text
//! counter mode:  RTP    head │ encrypted │ tag          tag over head, encrypted and the rollover counter, which is not sent
//!                RTCP   head │ encrypted │ E+index │ tag   tag over all before it
//! GCM:           RTP    head │ encrypted │ tag          head is associated data
//!                RTCP   head │ encrypted │ tag │ E+index   head and E+index are
//! ```

use aes_gcm::aes::cipher::consts::U16;
use aes_gcm::aes::cipher::{Block, BlockCipherEncrypt, BlockSizeUser};
use aes_gcm::aes::{Aes128, Aes256};
use aes_gcm::{AeadInOut as _, Aes128Gcm, Aes256Gcm, Tag};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::{Head, MasterKey, Suite};

/// Of all suites' tags on RTCP that HMAC makes (RFC 4568 §6.2).
const RTCP_TAG: usize = 10;
const GCM_TAG: usize = 16;
/// The head of a compound RTCP packet that stays in clear.
const RTCP_HEAD: usize = 8;
/// Before the 31 bits of an SRTCP index: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Blocks that AES works on at once.
const BATCH: usize = 8;

/// Which session keys (RFC 3711 §4.3.2).
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Rtp = 0,
    Rtcp = 3,
}

/// One direction of one protocol.
pub(super) enum Transform {
    Counter {
        aes: Aes128,
        mac: Hmac<Sha1>,
        salt: [u8; 14],
        /// Bytes of its tag.
        tag: usize,
    },
    Gcm {
        aead: Gcm,
        salt: [u8; 12],
    },
}

pub(super) enum Gcm {
    Short(Aes128Gcm),
    Long(Aes256Gcm),
}

impl Transform {
    /// Derives the session keys. They are the same for all of a call: nobody negotiates a key derivation rate, so none is agreed to.
    pub(super) fn new(suite: Suite, master: &MasterKey, protocol: Protocol) -> Transform {
        let label = protocol as u8;
        let mut key = Zeroizing::new([0; 32]);
        derive(master, label, &mut key[..suite.key_length()]);
        match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                let mut salt = [0; 14];
                derive(master, label + 2, &mut salt);
                // HMAC fills a shorter key up with zeroes itself; at this length it takes any.
                let mut secret = Zeroizing::new([0; 64]);
                derive(master, label + 1, &mut secret[..20]);
                let tag = match (suite, protocol) {
                    (Suite::AesCm128HmacSha1_32, Protocol::Rtp) => 4,
                    _ => RTCP_TAG,
                };
                Transform::Counter { aes: short(&key), mac: Hmac::new((&*secret).into()), salt, tag }
            }
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => {
                let mut salt = [0; 12];
                derive(master, label + 2, &mut salt);
                Transform::gcm(suite, &key, salt)
            }
        }
    }

    fn gcm(suite: Suite, key: &[u8; 32], salt: [u8; 12]) -> Transform {
        let aead = match suite {
            Suite::AeadAes256Gcm => Gcm::Long(long(key).into()),
            _ => Gcm::Short(short(key).into()),
        };
        Transform::Gcm { aead, salt }
    }

    pub(super) fn seal_rtp(&self, packet: &mut Vec<u8>, head: &Head, index: u64) {
        match self {
            Transform::Counter { aes, mac, salt, tag } => {
                keystream(aes, counter_nonce(salt, head.ssrc, index), &mut packet[head.length..]);
                let mut mac = mac.clone();
                mac.update(packet);
                mac.update(&rollover(index));
                packet.extend_from_slice(&mac.finalize().into_bytes()[..*tag]);
            }
            Transform::Gcm { aead, salt } => {
                let (clear, hidden) = packet.split_at_mut(head.length);
                match aead.seal(&gcm_nonce(salt, head.ssrc, index), clear, hidden) {
                    Some(tag) => packet.extend_from_slice(&tag),
                    None => packet.clear(),
                }
            }
        }
    }

    /// Cuts the tag off and decrypts. False: the tag is wrong, and the packet is as it was.
    pub(super) fn open_rtp(&self, packet: &mut Vec<u8>, head: &Head, index: u64) -> bool {
        let tag_length = match self {
            Transform::Counter { tag, .. } => *tag,
            Transform::Gcm { .. } => GCM_TAG,
        };
        let Some(end) = packet.len().checked_sub(tag_length).filter(|end| *end >= head.length) else {
            return false;
        };
        let (sealed, tag) = packet.split_at_mut(end);
        let right = match self {
            Transform::Counter { aes, mac, salt, .. } => {
                let mut mac = mac.clone();
                mac.update(sealed);
                mac.update(&rollover(index));
                let right = mac.verify_truncated_left(tag).is_ok();
                if right {
                    keystream(aes, counter_nonce(salt, head.ssrc, index), &mut sealed[head.length..]);
                }
                right
            }
            Transform::Gcm { aead, salt } => {
                let (clear, hidden) = sealed.split_at_mut(head.length);
                aead.open(&gcm_nonce(salt, head.ssrc, index), clear, hidden, tag)
            }
        };
        if right {
            packet.truncate(end);
        }
        right
    }

    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, index: u32) {
        let trailer = (ENCRYPTED | index).to_be_bytes();
        match self {
            Transform::Counter { aes, mac, salt, tag } => {
                keystream(aes, counter_nonce(salt, ssrc, index.into()), &mut packet[RTCP_HEAD..]);
                packet.extend_from_slice(&trailer);
                let mut mac = mac.clone();
                mac.update(packet);
                packet.extend_from_slice(&mac.finalize().into_bytes()[..*tag]);
            }
            Transform::Gcm { aead, salt } => {
                let (clear, hidden) = packet.split_at_mut(RTCP_HEAD);
                match aead.seal(&gcm_nonce(salt, ssrc, index.into()), &associated(clear, trailer), hidden) {
                    Some(tag) => {
                        packet.extend_from_slice(&tag);
                        packet.extend_from_slice(&trailer);
                    }
                    None => packet.clear(),
                }
            }
        }
    }

    /// The index that stands in an RTCP packet. `None`: it is too short, or it is not encrypted, which nobody has agreed to.
    pub(super) fn index_of(&self, packet: &[u8]) -> Option<u32> {
        let behind = match self {
            Transform::Counter { tag, .. } => *tag,
            Transform::Gcm { .. } => 0,
        };
        let end = packet.len().checked_sub(behind)?;
        let trailer = packet.get(..end)?.last_chunk()?;
        let trailer = u32::from_be_bytes(*trailer);
        (trailer & ENCRYPTED != 0).then_some(trailer & !ENCRYPTED)
    }

    /// As [`open_rtp`](Self::open_rtp).
    pub(super) fn open_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, index: u32) -> bool {
        let behind = 4 + match self {
            Transform::Counter { tag, .. } => *tag,
            Transform::Gcm { .. } => GCM_TAG,
        };
        let Some(end) = packet.len().checked_sub(behind).filter(|end| *end >= RTCP_HEAD) else {
            return false;
        };
        let right = match self {
            Transform::Counter { aes, mac, salt, .. } => {
                let (sealed, tag) = packet.split_at_mut(end + 4);
                let mut mac = mac.clone();
                mac.update(sealed);
                let right = mac.verify_truncated_left(tag).is_ok();
                if right {
                    let nonce = counter_nonce(salt, ssrc, index.into());
                    keystream(aes, nonce, &mut sealed[RTCP_HEAD..end]);
                }
                right
            }
            Transform::Gcm { aead, salt } => {
                let (sealed, tag) = packet.split_at_mut(end);
                let (clear, hidden) = sealed.split_at_mut(RTCP_HEAD);
                let associated = associated(clear, (ENCRYPTED | index).to_be_bytes());
                aead.open(&gcm_nonce(salt, ssrc, index.into()), &associated, hidden, &tag[..GCM_TAG])
            }
        };
        if right {
            packet.truncate(end);
        }
        right
    }
}

impl Gcm {
    /// `None` only for packets of gigabytes.
    fn seal(&self, nonce: &[u8; 12], associated: &[u8], data: &mut [u8]) -> Option<Tag> {
        match self {
            Gcm::Short(aead) => aead.encrypt_inout_detached(nonce.into(), associated, data.into()).ok(),
            Gcm::Long(aead) => aead.encrypt_inout_detached(nonce.into(), associated, data.into()).ok(),
        }
    }

    fn open(&self, nonce: &[u8; 12], associated: &[u8], data: &mut [u8], tag: &[u8]) -> bool {
        let Ok(tag) = <&Tag>::try_from(tag) else { return false };
        match self {
            Gcm::Short(aead) => {
                aead.decrypt_inout_detached(nonce.into(), associated, data.into(), tag).is_ok()
            }
            Gcm::Long(aead) => {
                aead.decrypt_inout_detached(nonce.into(), associated, data.into(), tag).is_ok()
            }
        }
    }
}

/// RFC 3711 §4.3.1, with the index 0; for the longer key RFC 6188. A salt of 12 bytes stands at the front of 14 (RFC 7714 §11).
fn derive(master: &MasterKey, label: u8, out: &mut [u8]) {
    let mut nonce = [0; 16];
    nonce[..master.salt().len()].copy_from_slice(master.salt());
    nonce[7] ^= label;
    out.fill(0);
    let key = master.key();
    match master.is_long() {
        true => keystream(&long(&key), nonce, out),
        false => keystream(&short(&key), nonce, out),
    }
}

/// AES-128 with the first half.
fn short(key: &[u8; 32]) -> Aes128 {
    let mut half = Zeroizing::new([0; 16]);
    half.copy_from_slice(&key[..16]);
    Aes128::new((&*half).into())
}

fn long(key: &[u8; 32]) -> Aes256 {
    Aes256::new(key.into())
}

/// AES in counter mode (RFC 3711 §4.1.1): adds the keystream to `data`. The last two bytes of the nonce count blocks.
fn keystream<C>(aes: &C, mut nonce: [u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    for piece in data.chunks_mut(16 * BATCH) {
        let mut blocks = [Block::<C>::default(); BATCH];
        let blocks = &mut blocks[..piece.len().div_ceil(16)];
        for block in &mut *blocks {
            block.copy_from_slice(&nonce);
            let next = u16::from_be_bytes([nonce[14], nonce[15]]).wrapping_add(1);
            nonce[14..].copy_from_slice(&next.to_be_bytes());
        }
        aes.encrypt_blocks(blocks);
        for (byte, key) in piece.iter_mut().zip(blocks.iter().flatten()) {
            *byte ^= key;
        }
    }
}

/// salt · 2¹⁶ ⊕ SSRC · 2⁶⁴ ⊕ index · 2¹⁶.
fn counter_nonce(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[4..8].copy_from_slice(&ssrc.to_be_bytes());
    nonce[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    nonce.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    nonce
}

/// Two zeroes, SSRC, index; with the salt (RFC 7714 §8.1, §9.1).
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    nonce.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    nonce
}

fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn associated(head: &[u8], trailer: [u8; 4]) -> [u8; RTCP_HEAD + 4] {
    let mut associated = [0; RTCP_HEAD + 4];
    associated[..RTCP_HEAD].copy_from_slice(head);
    associated[RTCP_HEAD..].copy_from_slice(&trailer);
    associated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .bytes()
            .filter(u8::is_ascii_hexdigit)
            .map(|digit| (digit as char).to_digit(16).expect("hex") as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn head(packet: &[u8]) -> Head {
        Head::read(packet).expect("RTP")
    }

    /// RFC 3711 B.2.
    #[test]
    fn the_keystream_is_the_standards() {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&bytes("2B7E151628AED2A6ABF7158809CF4F3C"));
        let aes = short(&key);
        let salt = bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().expect("14 bytes");
        let mut stream = vec![0; 16 * 0xff02];
        keystream(&aes, counter_nonce(&salt, 0, 0), &mut stream);
        for (block, expected) in [
            (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ] {
            assert_eq!(stream[16 * block..][..16], bytes(expected), "block {block:x}");
        }
    }

    /// RFC 3711 B.3.
    #[test]
    fn session_keys_are_derived_as_the_standard_derives_them() {
        let key = "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6";
        let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &bytes(key)).expect("30 bytes");
        let mut cipher = [0; 16];
        derive(&master, 0, &mut cipher);
        assert_eq!(cipher[..], bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut salt = [0; 14];
        derive(&master, 2, &mut salt);
        assert_eq!(salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
        let mut auth = [0; 94];
        derive(&master, 1, &mut auth);
        let expected = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE \
                        E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25 \
                        6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(auth[..], bytes(expected));
    }

    /// Packets as another implementation seals them under the same master key (the reference packets of libsrtp's tests).
    #[test]
    fn whole_packets_are_what_others_make_of_them() {
        let counter = "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6";
        let gcm = "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab";
        let rtp = "800f1234 decafbad cafebabe abababababababababababababababab";
        let rtcp = "81c8000b cafebabe abababababababababababababababab";
        for (suite, key, sealed_rtp, sealed_rtcp) in [
            (
                Suite::AesCm128HmacSha1_80,
                counter,
                "800f1234 decafbad cafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
                "81c8000b cafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
            ),
            (
                Suite::AeadAes128Gcm,
                gcm,
                "800f1234 decafbad cafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
                "81c8000b cafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
            ),
        ] {
            let master = MasterKey::new(suite, &bytes(key)).expect("the suite's length");
            let transform = Transform::new(suite, &master, Protocol::Rtp);
            let mut packet = bytes(rtp);
            transform.seal_rtp(&mut packet, &head(&bytes(rtp)), 0x1234);
            assert_eq!(packet, bytes(sealed_rtp), "{suite:?}");
            assert!(transform.open_rtp(&mut packet, &head(&bytes(rtp)), 0x1234));
            assert_eq!(packet, bytes(rtp));
            let transform = Transform::new(suite, &master, Protocol::Rtcp);
            let mut packet = bytes(rtcp);
            transform.seal_rtcp(&mut packet, 0xcafe_babe, 1);
            assert_eq!(packet, bytes(sealed_rtcp), "{suite:?}");
            assert_eq!(transform.index_of(&packet), Some(1));
            assert!(transform.open_rtcp(&mut packet, 0xcafe_babe, 1));
            assert_eq!(packet, bytes(rtcp));
        }
    }

    /// RFC 7714 §16.1, §16.2, §17.1, §17.2, which give session keys.
    #[test]
    fn gcm_is_the_standards() {
        let rtp = "8040f17b 8041f8d3 5501a0b2 47616c6c696120657374206f6d6e6973206469766973612069 6e207061727465732074726573";
        let rtcp = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
                    deadbeef deadbeef deadbeef deadbeef deadbeef";
        let salt: [u8; 12] = bytes("517569642070726f2071756f").try_into().expect("12 bytes");
        let key: [u8; 32] = std::array::from_fn(|n| n as u8);
        for (suite, sealed_rtp, sealed_rtcp) in [
            (
                Suite::AeadAes128Gcm,
                "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce",
                "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
            ),
            (
                Suite::AeadAes256Gcm,
                "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
                "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
            ),
        ] {
            let transform = Transform::gcm(suite, &key, salt);
            let mut packet = bytes(rtp);
            transform.seal_rtp(&mut packet, &head(&bytes(rtp)), 0xf17b);
            assert_eq!(packet[12..], bytes(sealed_rtp), "{suite:?}");
            assert!(transform.open_rtp(&mut packet, &head(&bytes(rtp)), 0xf17b));
            assert_eq!(packet, bytes(rtp));
            let mut packet = bytes(rtcp);
            transform.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
            assert_eq!(packet[8..], bytes(sealed_rtcp), "{suite:?}");
            assert!(transform.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4));
            assert_eq!(packet, bytes(rtcp));
        }
    }

    #[test]
    fn whatever_bit_is_turned_the_tag_is_wrong_and_the_packet_as_it_was() {
        for suite in Suite::ALL {
            let master = super::super::KeySeed::new([3; 32]).offered(suite);
            let (rtp, rtcp) = (
                Transform::new(suite, &master, Protocol::Rtp),
                Transform::new(suite, &master, Protocol::Rtcp),
            );
            let plain = [&[0x80, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7][..], &[0x5a; 40]].concat();
            let mut sealed = plain.clone();
            rtp.seal_rtp(&mut sealed, &head(&plain), 9);
            for bit in 0..8 * sealed.len() {
                let mut turned = sealed.clone();
                turned[bit / 8] ^= 1 << (bit % 8);
                let Some(head) = Head::read(&turned) else { continue };
                let before = turned.clone();
                assert!(!rtp.open_rtp(&mut turned, &head, 9), "{suite:?} bit {bit}");
                assert_eq!(turned, before);
            }
            assert!(
                !rtp.open_rtp(&mut sealed.clone(), &head(&plain), 9 + 65_536),
                "another rollover counter"
            );
            let mut report = [&[0x80, 201, 0, 1, 0, 0, 0, 7][..], &[0x5a; 20]].concat();
            rtcp.seal_rtcp(&mut report, 7, 3);
            for bit in 64..8 * report.len() {
                let mut turned = report.clone();
                turned[bit / 8] ^= 1 << (bit % 8);
                let index = rtcp.index_of(&turned);
                assert!(
                    !index.is_some_and(|index| rtcp.open_rtcp(&mut turned, 7, index)),
                    "{suite:?} bit {bit}"
                );
            }
        }
    }
}
