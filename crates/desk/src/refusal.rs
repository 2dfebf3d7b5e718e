//! What a case, demand, person or paper lacks when the desk refuses: each with the cure it names.
//!
//! Invariant: every one has a cure of its own; words and cures hold no name, address or text of
//! a letter.
//! Refs: specs/desk-command.md §2; house §2.4.

macro_rules! refusals {
    ($($(#[$doc:meta])* $type:ident { $($name:ident: $what:literal, $cure:literal;)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $(#[doc = $what] $name,)* }

        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What is wrong, as the end of its error's sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.what())
            }
        }
    )*};
}

refusals! {
    /// What a case lacks.
    Lack {
        Account: "an account",
            "the demand was entered without `--address`: enter it anew with the address it names";
        Answer: "a production, or another decision",
            "produce and deliver what was decided, or have the approver `return` it";
        Authority: "an authority that two persons enrolled",
            "`enrol-authority`, have another person `confirm-authority`, and enter the demand \
             with that identifier as `enrolled`";
        Day: "a day that the law names for its preservation",
            "say how long with `--days`; no pack names a length for this instrument and these facts";
        Decision: "a decision", "counsel decides first: `decide`";
        Facts: "facts that the opinion needs",
            "`assess` with the facts that the opinion lists as needed, and decide again";
        InForce: "an order in force",
            "wait for the order's first moment; if it has run out, the approver returns it and \
             counsel prepares another";
        Narrowing: "the narrowing that was decided", "counsel makes the scope smaller: `narrow`";
        NotBefore: "a date before which nothing may leave",
            "the law gives this limit in words alone: `stay` the case until counsel knows the day";
        Notice: "an end of its non-disclosure order",
            "record the notice as planned or withheld, or enter the order's new end with `secrecy`";
        Opinion: "an opinion", "ask the law first: `assess`";
        Order: "an order", "counsel prepares one: `prepare`";
        OrderRan: "an order in force: it has run out",
            "the approver returns it with `return`; counsel decides and prepares another";
        Outcome: "a decision to produce",
            "counsel decided to produce nothing; if that is to change, have the approver `return` \
             the case";
        Preservation: "a preservation", "nothing is preserved in this case; nothing is to be ended";
        Preparer: "the counsel who decided: prepare it as that person",
            "sign with the key of the counsel who decided";
        Recipient: "an authority", "the enrolled authority is gone from the register: enrol it again";
        Room: "room for more events", "close it and enter the demand as a new case";
        Scope: "a scope",
            "begin it anew and hand in the scope: `correct` with the facts `{}`, `verify`, `assess`, \
             `decide … --scope`";
        ScopeDecided: "a scope in the decision to produce",
            "hand in with the decision what is to be produced: `decide … comply --scope FILE`, or \
             `decide … narrow --scope FILE` and then `narrow`";
        Sender: "an authenticated sender",
            "`correct` the case, call the authority back at a number found independently, and \
             `verify` it anew";
        Signatures: "room for a third signature", "both signatures are there; nothing more is to be signed";
        SignedFirst: "counsel's signature, which comes first",
            "let counsel `approve --office counsel` before the approver does";
    }

    /// What is wrong with a demand or its facts.
    Fault {
        Ahead: "served in the future", "write the day of service as `served`, not after tomorrow";
        Authenticated: "`authenticated` follows from the checks", "leave `authenticated` out";
        Before: "served before 1970", "write `served` as the paper or its envelope has it";
        CallBack: "the call-back lies ahead or before the service, or has no source",
            "call after the demand was served, and say in `number_from` where the number was found";
        Cell: "the facts are about another cell",
            "write this cell's State as `cell`, or enter the demand at the other cell";
        Lapsed: "its non-disclosure order has ended, so its first leaf would show",
            "check `until`, in seconds since 1970; if it has ended, write `\"secrecy\": \"none\"`";
        LapsedSince: "the non-disclosure order has ended, so every sealed leaf of the case would open",
            "name as `until` a time ahead, in seconds since 1970; if the secrecy was lifted, a few \
             minutes ahead: the next batch after it opens the case's leaves for ever";
        Late: "served too long ago: only a rehearsal may be",
            "check `served`; to try a case of the past, write `\"rehearsal\": true`";
        LawOn: "the law of a day before the service, or ahead",
            "leave `law_on` out, or name a day from the service to today";
        Limits: "a text, list or period is outside its limits",
            "give authority, reference and basis 1 to 512 octets each, at most 64 identifiers, and \
             a period that ends after it begins";
        Paper: "the paper is empty or longer than 16 MiB", "hand in the document as it was served";
        Preserving: "a preservation ends within 366 days",
            "name an end ahead and within 366 days; it can be renewed";
        Sooner: "a renewal does not end before what it renews",
            "name a later end; to end it early two persons run `end-preservation`";
        SecretFact: "its duty of secrecy is a fact, and not on record",
            "write the order that `gag` speaks of into `secrecy` too, or record it with `secrecy`";
        Silent: "it does not say whether it is secret",
            "write `\"secrecy\": \"none\"` if the paper imposes no secrecy, else `\"secrecy\": \
             {\"order\": {\"basis\": …, \"issuer\": …, \"until\": …, \"review\": …}}`, with times \
             in seconds since 1970; its first leaf cannot be hidden later";
        SecrecyText: "the non-disclosure order's basis and issuer have 1 to 512 octets each",
            "name the provision or order as `basis` and who imposed it as `issuer`";
    }

    /// How a scope is not for its case or order.
    Beyond {
        Account: "it is of another account than the case", "name the case's account, as `show` has it";
        Nothing: "nothing is produced under this decision", "decide without `--scope`";
        Other: "the difference is between other scopes",
            "name the scope in force as BEFORE; `show --json` has it";
        Period: "it is longer than the demand's period",
            "name a time within the period that the demand gives";
        Text: "no letter of the order can have this text",
            "fetch the texts that the order's heads and rows name, each of them as often as needed";
        Unasked: "nothing is opened for it: no holder is asked",
            "go on to `produce`, which here needs neither holders nor an order's key";
        Wider: "a narrowing cannot widen",
            "hand in a smaller scope; a wider one needs `correct` and a new decision";
    }

    /// Who must be another person.
    Part {
        Confirmer: "who confirms an authority",
            "let a colleague who did not enrol it run `confirm-authority`";
        Ender: "who ends a preservation early",
            "let a second person run `end-preservation`, or wait for its day";
        Facts: "who confirms the facts",
            "let an approver sign who entered none of the facts and did not check the sender";
        Second: "the second approver",
            "let an approver sign who neither decided nor signed as counsel";
        Station: "who runs the station", "let a colleague who approved nothing run `produce`";
    }

    /// What is wrong with an enrolment.
    Unfit {
        CalledAhead: "the call-back lies ahead", "check the clock, and call back before enrolling";
        HolderKey: "the key is not a holder's", "use the `bwholder1…` key its holder printed";
        KeyTaken: "the key is another person's", "let each person make their own key with `keygen`";
        Name: "a name has 1 to 200 octets", "give a name of 1 to 200 octets";
        NoAuthority: "there is no such authority", "`register` lists the authorities enrolled";
        NumberFrom: "say where the call-back number was found",
            "name in `--number-from` a source that did not come with the demand";
        OneKey: "a person keeps one key; enrol a new key anew",
            "run `keygen` again and enrol the identifier it prints";
        Recipient: "the recipient is not an age key", "use the `age1…` key that the authority handed over";
        Roles: "roles must ascend, at least one",
            "list the roles in the order clerk, counsel, approver, station, auditor";
        Room: "the register is full", "it holds 1024 rows; ask the operator";
        Term: "the office ends before it begins", "give the office at least one day: `--days`";
    }

    /// Why a production is not one of its case's order.
    Mismatch {
        Case: "its record is of another case", "produce under the case the order names";
        Cell: "its record is of another cell", "produce at the cell the order names";
        ClosedFirst: "it was closed before it was opened", "check the station's clock";
        Ahead: "it was closed in the future", "set the station's clock to the cell's, and produce again";
        Ended: "it was closed after the order had ended",
            "have the approver return the order, and produce under another";
        Early: "it was opened before the order's time", "produce once the order is in force";
        Holder: "it names no holder", "produce with the holders' answers: `share`";
        Listed: "its manifest lists another record or demand",
            "run `produce` again, and hand in what it made unchanged";
        More: "more was produced than was opened", "the station's program is not ours: use this version's";
        Opening: "it tells of an opening, and the order has none",
            "produce without an order key: the order hands out what is sealed, or the cell's own";
        Order: "its record is of another order",
            "the order was prepared anew since: release and produce under the one in force";
        Unread: "its manifest cannot be read", "hand in `tagmanifest-sha256.txt`, at most 16 KiB";
        Version: "its record is of another version",
            "use the same version of `bailiwick` at desk and station";
    }
}
