//! CAPABILITY, ENABLE, ID, NAMESPACE: what this server is and can.
//!
//! Invariant: what is listed here is implemented here.
//! Refs: RFC 9051 §6.1.1, §6.3.1, §6.3.10; RFC 2971; RFC 7889; RFC 9208 §3; RFC 8474 §3.

use imap_types::extensions::enable::CapabilityEnable;
use proto::sasl::Mechanism;

use super::reply::Reply;
use super::session::Session;

impl Session<'_> {
    /// The list of capabilities, as both the response and the code have it.
    pub(super) fn capabilities(&self) -> String {
        let mut list = String::from("IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE");
        if self.account.is_none() {
            list.push_str(" SASL-IR");
            for mechanism in Mechanism::ALL {
                list.push_str(" AUTH=");
                list.push_str(mechanism.name());
            }
        }
        list.push_str(
            " IDLE NAMESPACE UIDPLUS UNSELECT MOVE CHILDREN ESEARCH SEARCHRES LIST-EXTENDED \
             LIST-STATUS SPECIAL-USE STATUS=SIZE CONDSTORE BINARY QUOTA QUOTA=RES-STORAGE \
             QUOTA=RES-MESSAGE OBJECTID",
        );
        list.push_str(&format!(" APPENDLIMIT={}", self.context.limits.append_octets));
        list
    }

    pub(super) fn capability(&mut self) -> Reply {
        let list = self.capabilities();
        self.say(&format!("* CAPABILITY {list}\r\n"));
        Reply::ok("that is all")
    }

    pub(super) fn enable(&mut self, wanted: &[CapabilityEnable<'_>]) -> Reply {
        // RFC 9051 §6.3.1: in the authenticated state only.
        if self.selected.is_some() {
            return Reply::bad("not while a mailbox is selected");
        }
        let mut enabled = String::new();
        for capability in wanted {
            let name = capability.to_string().to_ascii_uppercase();
            match name.as_str() {
                "IMAP4REV2" => self.rev2 = true,
                "CONDSTORE" => self.enable_condstore(),
                // RFC 5161 §3.1: what is not known is passed over.
                _ => continue,
            }
            enabled.push(' ');
            enabled.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { "CONDSTORE" });
        }
        self.say(&format!("* ENABLED{enabled}\r\n"));
        Reply::ok("enabled")
    }

    /// From now on every FETCH response tells the mod-sequence. What is selected already is told
    /// where it stands (RFC 7162 §3.1).
    pub(super) fn enable_condstore(&mut self) {
        if self.condstore {
            return;
        }
        self.condstore = true;
        if let Some(selected) = &self.selected {
            let highest = selected.told;
            self.say(&format!("* OK [HIGHESTMODSEQ {highest}] highest\r\n"));
        }
    }

    pub(super) fn id(&mut self) -> Reply {
        self.say("* ID (\"name\" \"Bailiwick\")\r\n");
        Reply::ok("pleased to meet you")
    }

    pub(super) fn namespace(&mut self) -> Reply {
        self.say("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
        Reply::ok("one namespace")
    }
}
