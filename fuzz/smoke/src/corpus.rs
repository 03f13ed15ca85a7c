//! What the mutations begin with.

use std::path::Path;

use sip::fuzzing::Dice;

/// The absurdly long ones say nothing that a short one does not, and take the time of a hundred.
const LONGEST: usize = 4_096;

/// Messages that a call, a registration and a transfer are made of: strangers' torture alone never gets that far.
const MESSAGES: [&str; 8] = [
    "INVITE sip:bob@[2001:db8::1]:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776;rport\r\n\
     Max-Forwards: 70\r\nFrom: \"A \\\"B\\\" C\" <sip:a@b>;tag=1\r\nTo: <sip:bob@[2001:db8::1]>\r\nCall-ID: abc@h\r\nCSeq: 314159 INVITE\r\n\
     Contact: <sip:a@192.0.2.1>\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nSupported: timer, 100rel\r\nSession-Expires: 90;refresher=uac\r\n\
     Identity: a.b.c;info=<https://x/y>;alg=ES256;ppt=shaken\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\n\
     CSeq: 1 REGISTER\r\nWWW-Authenticate: Digest realm=\"a, b\", nonce=\"x\", qop=\"auth,auth-int\", algorithm=SHA-256, stale=true\r\n\r\n",
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP / 2.0 / UDP h : 5060 ;branch=z9hG4bKx\r\nFrom: a<tel:+1-201;phone-context=x>;tag=1\r\n\
     To: <sips:c@d>\r\nCall-ID: i\r\nCSeq: 1\r\n REGISTER\r\nExpires: 60\r\nPath: <sip:edge;lr>\r\n\
     Contact: \"x\" <sip:a@h;ob>;q=0.5;expires=60;+sip.instance=\"<urn:uuid:1>\"\r\nAuthorization: Digest username=\"a\", realm=\"r\", \
     nonce=\"n\", uri=\"sip:example.com\", response=\"0\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth\r\n\r\n",
    "REFER sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKr\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 2 REFER\r\n\
     Contact: <sip:a@b>\r\nRefer-To: <sip:e@f?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\nReferred-By: <sip:a@b>\r\nl: 0\r\n\r\n",
    "NOTIFY sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKn\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 3 NOTIFY\r\n\
     Event: refer;id=2\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag;version=2.0\r\n\r\nSIP/2.0 200 OK\r\n",
    "INFO sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKy\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 3 INFO\r\n\
     Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n",
    "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKm\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 MESSAGE\r\n\
     P-Asserted-Identity: \"A\" <sip:+1@b>, <tel:+1>\r\nPrivacy: id\r\nDiversion: <sip:z@b>;reason=no-answer;counter=2\r\n\
     Content-Type: text/plain;charset=utf-8\r\n\r\n\u{1f4de}",
    "SIP/2.0 183 Session Progress\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx;received=1.2.3.4;rport=9\r\nf: <sip:a@b>;tag=1\r\nt: sip:c@d;tag=2\r\ni: x\r\n\
     CSeq: 1 INVITE\r\nRSeq: 1\r\nRequire: 100rel\r\nm: <sip:c@d>\r\nRecord-Route: <sip:p;lr>\r\nMin-SE: 90\r\nl: 0\r\n\r\n",
];

const HEADERS: [&str; 10] = [
    "sip:+1-201-555;x=y@[2001:db8::1]:5070;transport=udp;lr?a=b&c=%20",
    "sips:a%40b:p%3Aq@example.com:5061;user=phone;maddr=192.0.2.1;ttl=1;method=INVITE",
    "tel:+1-201-555-0123;phone-context=x;isub=1;ext=2",
    "\"A \\\" <sip:x@y>\" <sips:a:b@h;x>;tag=1;q=0.5;x=\"y;z\"",
    "Anna Bell <sip:a@b>;tag",
    "<urn:service:sos>;expires=4294967296",
    "SIP / 2.0 / UDP [::1]:5060 ;branch=z9hG4bKx;rport;received=::1",
    "SIP/2.0/TLS-SCTP h.example ; branch = z9hG4bK ;; maddr = 1.2.3.4",
    "sip:[::ffff:192.0.2.1]",
    "*",
];

const DESCRIPTIONS: [&str; 5] = [
    "v=0\r\no=- 20518 20518 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\n\
     a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n",
    "v=0\no=a 1 2 IN IP6 2001:db8::1\ns= \ni=x\nu=http://x\ne=a@b\nc=IN IP6 2001:db8::1\nb=AS:64\nt=1 2\nr=7d 1h 0 25h\na=sendonly\n\
     m=audio 5004/2 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1; maxplaybackrate=16000\na=rtpmap:97 telephone-event/48000\na=rtcp:5010 IN IP6 ::1\n",
    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 9 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\nm=audio 40000 RTP/AVP 0\r\n\
     c=IN IP4 192.0.2.9\r\na=inactive\r\na=maxptime:240\r\n",
    "v=0\r\no=- 1 1 IN IP4 h.example\r\ns=-\r\nc=IN IP4 h.example\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 \
     inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:x\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\r\n",
    "v=0\r\n",
];

/// What stands between tokens in a description.
const WORDS: [&str; 12] = [
    "65536",
    "-1",
    "99999999999999999999",
    "0",
    "127",
    "::1",
    "a=rtpmap:96 ",
    "m=audio 1 RTP/AVP ",
    "c=IN IP6 ",
    "a=fmtp:",
    "\r\n",
    "a=ptime:",
];

pub(crate) struct Corpus {
    messages: Vec<Vec<u8>>,
}

impl Corpus {
    /// With the torture messages of the repository, where it is at hand.
    pub(crate) fn read() -> Self {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sip/tests/torture"));
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
            .collect();
        // A folder has no order, and a number must always mean the same input.
        files.sort();
        let torture =
            files.iter().filter_map(|path| std::fs::read(path).ok()).filter(|bytes| bytes.len() <= LONGEST);
        let messages = MESSAGES.iter().map(|text| text.as_bytes().to_vec()).chain(torture).collect();
        Self { messages }
    }

    /// Every second one from those that go far.
    pub(crate) fn message(&self, dice: &mut Dice) -> Vec<u8> {
        let from = if dice.roll(2) == 0 { MESSAGES.len() } else { self.messages.len() };
        let chosen = dice.roll(from);
        dice.mutate(&self.messages[chosen])
    }

    pub(crate) fn header(&self, dice: &mut Dice) -> String {
        let chosen = dice.roll(HEADERS.len());
        String::from_utf8_lossy(&dice.mutate(HEADERS[chosen].as_bytes())).into_owned()
    }

    pub(crate) fn sdp(&self, dice: &mut Dice) -> Vec<u8> {
        let chosen = dice.roll(DESCRIPTIONS.len());
        let mut bytes = DESCRIPTIONS[chosen].as_bytes().to_vec();
        for _ in 0..dice.roll(3) {
            let (at, word) = (dice.roll(bytes.len() + 1), WORDS[dice.roll(WORDS.len())]);
            bytes.splice(at..at, word.bytes());
        }
        if dice.roll(3) == 0 { bytes } else { dice.mutate(&bytes) }
    }

    /// A packet with padding, contributors and an extension.
    pub(crate) fn rtp(&self, dice: &mut Dice) -> Vec<u8> {
        const PACKET: &[u8] =
            b"\xb1\x80\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\xbe\xde\x00\x01\x01\x02\x03\x04sound\x00\x00\x03";
        dice.mutate(PACKET)
    }

    /// The answer of a server, with our address and a name of it.
    pub(crate) fn stun(&self, dice: &mut Dice) -> Vec<u8> {
        const ANSWER: &[u8] =
            b"\x01\x01\x00\x18\x21\x12\xa4\x42twelve bytes\x00\x20\x00\x08\x00\x01\x35\x1f\xe1\xba\xa6\x43\
            \x80\x22\x00\x08a server";
        dice.mutate(ANSWER)
    }
}
