//! Reason codes D01 to D24: what a demand lacks, and how to cure it.
//!
//! Invariant: a code's number and meaning never change; packs choose among them.
//! Refs: packs/README.md, "Reason codes" (law tables §9).

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $code:ident = $name:literal, $words:literal, $cure:literal;)*) => {
        /// A coded deficiency of a demand (law tables §9).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ReasonCode { $($(#[$doc])* $code,)* }

        impl ReasonCode {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The code as letters and digits: `D04`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What is wrong, for a letter to the authority.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$code => $words,)* }
            }

            /// What the authority can do about it.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$code => $cure,)* }
            }
        }
    };
}

reasons! {
    /// No or no valid identifier, or more than one user matches.
    D01 = "D01", "the demand names no valid identifier, or more than one user matches",
        "name the exact address or account";
    /// No date range for traffic or content.
    D02 = "D02", "no date range is given for traffic or content data",
        "give the first and last day, with the time zone";
    /// Unsigned, unsealed or unauthenticated.
    D03 = "D03", "the demand is not signed or sealed",
        "send it signed or sealed by the issuing authority";
    /// The issuer is not competent for this category.
    D04 = "D04", "the issuer is not competent to demand this category of data",
        "obtain the instrument, or the issuer, that the law asks for";
    /// Validation or court confirmation is missing or void.
    D05 = "D05", "validation or court confirmation is missing or void",
        "send it validated or confirmed";
    /// Expired.
    D06 = "D06", "the instrument has expired",
        "obtain a new one";
    /// No case number.
    D07 = "D07", "no case or file number is given",
        "give the number of the proceedings";
    /// No legal basis cited, or a repealed one.
    D08 = "D08", "no legal basis is cited, or the one cited is not in force",
        "cite the provision the demand rests on";
    /// Overbroad.
    D09 = "D09", "the demand is broader than its purpose needs",
        "limit it to named accounts, categories and dates";
    /// Wrong entity or cell.
    D10 = "D10", "the demand is addressed to an entity it does not reach",
        "address it as this letter says";
    /// The sender is not authenticated.
    D11 = "D11", "the sender could not be authenticated",
        "use the official channel; we call back at a number found independently";
    /// The language is not accepted.
    D12 = "D12", "the language of the demand is not accepted",
        "add a translation";
    /// The offence is below the threshold.
    D13 = "D13", "the offence is below the threshold for this category of data",
        "limit the demand to categories available for this offence";
    /// The enforcing authority was not notified.
    D14 = "D14", "the enforcing authority was not notified",
        "notify it and send proof";
    /// A secrecy demand without order, end date or finding.
    D15 = "D15", "secrecy is asked without an order, an end date or a finding",
        "send the order and its end date";
    /// The category is not held or cannot be decrypted.
    D16 = "D16", "the data are not held, or we hold no key to them",
        "none: what exists is produced as it exists";
    /// Privilege, immunity or press.
    D17 = "D17", "the data may be protected by privilege, immunity or freedom of the press",
        "let the competent court or authority decide";
    /// Another country's law forbids it.
    D18 = "D18", "the law of another State forbids compliance",
        "use mutual legal assistance";
    /// The emergency is not explained or not imminent.
    D19 = "D19", "the emergency is not explained or not imminent",
        "explain who is threatened, by what and when; until then it is an ordinary demand";
    /// Future or live data under an instrument for stored data.
    D20 = "D20", "future or live data are asked under an instrument for stored data",
        "limit the demand to stored data";
    /// Credentials or keys.
    D21 = "D21", "credentials or keys are asked",
        "none: they are not handed out";
    /// Duplicate or already answered.
    D22 = "D22", "the demand repeats one already answered",
        "refer to the earlier answer";
    /// The controller should be asked.
    D23 = "D23", "the account belongs to an organisation that should be asked itself",
        "address the organisation";
    /// A treaty certificate is missing.
    D24 = "D24", "the certificate the agreement asks for is missing",
        "send the certificate";
}

impl ReasonCode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.code() == text)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
