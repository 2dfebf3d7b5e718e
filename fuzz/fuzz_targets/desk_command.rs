//! Commands of the desk's staff: signed or not, what is read prints as it came, keeps its limits
//! or says so, and whatever facts a demand states, the law answers.
#![no_main]

use desk::{Command, Signed, facts_text};
use law::Packs;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vocab::Timestamp;

static PACKS: LazyLock<Packs> = LazyLock::new(|| Packs::builtin().unwrap());
const NOW: Timestamp = Timestamp(1_795_219_200);

fuzz_target!(|data: &[u8]| {
    let signed = serde_json::from_slice::<Signed>(data);
    if let Ok(signed) = &signed {
        let text = serde_json::to_vec(signed).unwrap();
        assert_eq!(&serde_json::from_slice::<Signed>(&text).unwrap(), signed);
    }
    let command = match signed {
        Ok(signed) => signed.command().ok(),
        Err(_) => serde_json::from_slice::<Command>(data).ok(),
    };
    let Some(command) = command else { return };
    let again: Command = serde_json::from_slice(&serde_json::to_vec(&command).unwrap()).unwrap();
    assert_eq!((again.verb(), again.case()), (command.verb(), command.case()));
    assert!(!command.verb().roles().is_empty(), "nobody may command what only follows");
    if let Err(refusal) = command.check("ie".parse().unwrap(), NOW) {
        assert!(!refusal.cure().is_empty());
        return;
    }
    match command {
        Command::Receive { demand, .. } => {
            assert!(demand.secrecy.is_some());
            let text = facts_text(&demand.facts).unwrap();
            assert_eq!(facts_text(&serde_json::from_str(&text).unwrap()).unwrap(), text);
            let _ = law::assess(&PACKS, &demand.facts).explain();
        }
        Command::Narrow { scope, .. } => {
            let text = scope.to_text().unwrap();
            assert_eq!(desk::Scope::from_text(&text).unwrap(), scope);
        }
        _ => {}
    }
});
