//! What packages are made of, as far as it needs no tools: the completions, the manual pages, the versions, and the
//! configurations for Kubernetes and for the service. `tests/packaging` builds the packages, and uses them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{CommandOutput, empty_folder, run_command, sentrynet};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the program with arguments that it accepts.
#[track_caller]
fn run(arguments: &[&str]) -> CommandOutput {
    let ended = run_command(sentrynet().args(arguments), "");
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended
}

#[test]
fn the_version_has_details() {
    let version = run(&["--version"]).stdout;
    assert_eq!(version, concat!("sentrynet ", env!("CARGO_PKG_VERSION"), "\n"));
    let details = run(&["--version", "--verbose"]).stdout;
    assert_eq!(run(&["--verbose", "--version"]).stdout, details);
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).expect("the file exists");
    let (_, wasmtime) = lock.split_once("name = \"wasmtime\"\nversion = \"").expect("wasmtime is locked");
    let wasmtime = wasmtime.split('"').next().unwrap_or_default();
    let names: Vec<_> = details.lines().skip(1).filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(names, ["commit", "contract", "wasmtime", "target", "features"]);
    assert!(details.starts_with(&version), "{details}");
    assert!(details.contains(&format!("\nwasmtime: {wasmtime}\n")), "{details}");
    assert!(details.contains("\ncontract: 0.1.1\n") && details.contains("\nfeatures: compiler\n"), "{details}");
    assert_eq!(run_command(sentrynet().arg("--verbose"), "").code, 2);
}

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]).stdout;
        assert!(script.contains("healthcheck") && !script.contains("compile-component"), "{script}");
    }
    assert_eq!(run_command(sentrynet().args(["completions", "cmd"]), "").code, 2);
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = empty_folder("packaging-man");
    run(&["man", folder.to_str().expect("it is UTF-8")]);
    let help = run(&["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let commands: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && commands.contains(&"healthcheck"), "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let page = std::fs::read_to_string(folder.join(format!("sentrynet-{command}.1")));
        assert!(page.is_ok_and(|page| page.contains(".TH")), "{command}");
    }
    assert!(folder.join("sentrynet.1").exists());
    let hidden = folder.join("sentrynet-compile-component.1");
    assert!(!hidden.exists(), "a hidden command has a page");
    let absent = folder.join("absent");
    let ended = run_command(sentrynet().arg("man").arg(&absent), "");
    assert!(ended.code == 3 && ended.stderr.contains("cannot write the manual pages to "), "{}", ended.stderr);
}

/// Checks a configuration that is no example of its own.
#[track_caller]
fn check(configuration: &str) -> CommandOutput {
    let checked = run_command(sentrynet().env("SENTRYNET_LOG", "warn").args(["check", "-"]), configuration);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    checked
}

#[test]
fn the_configuration_of_the_service_is_valid_with_and_without_its_probe() {
    let text = std::fs::read_to_string(repository().join("packaging/config.yaml")).expect("the file exists");
    assert!(check(&text).stderr.contains("no probes"));
    let with_probe = text.replace("groups: []", "groups:").replace("\n#  ", "\n  ").replace("# dsn:", "dsn:");
    assert_eq!(check(&with_probe.replace("/PROJECT", "/1")).stderr, "");
}

#[test]
fn the_manifest_for_kubernetes_is_valid_and_its_configuration_too() {
    let text = std::fs::read_to_string(repository().join("examples/kubernetes.yaml")).expect("the file exists");
    let objects: Vec<Value> =
        text.split("\n---\n").map(|object| serde_yaml::from_str(object).expect("the manifest is YAML")).collect();
    let object = |kind: &str| objects.iter().find(|object| object["kind"] == kind).expect("it is in the manifest");
    assert_eq!(check(object("ConfigMap")["data"]["config.yaml"].as_str().expect("it is a text")).stderr, "");

    let pod = &object("Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let command: Vec<_> =
            container[probe]["exec"]["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(command, ["/usr/bin/sentrynet", "healthcheck"]);
    }
    // Each mount has its volume, and each reference its object.
    let volumes = pod["volumes"].as_array().expect("there are volumes");
    for mount in container["volumeMounts"].as_array().expect("there are mounts") {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
    for (kind, name) in [
        ("Secret", &container["envFrom"][0]["secretRef"]["name"]),
        ("ConfigMap", &volumes[0]["configMap"]["name"]),
        ("PersistentVolumeClaim", &volumes[1]["persistentVolumeClaim"]["claimName"]),
    ] {
        assert_eq!(&object(kind)["metadata"]["name"], name);
    }
    let containerfile = std::fs::read_to_string(repository().join("Containerfile")).expect("the file exists");
    for shared in ["USER 65532:65532", "VOLUME /var/lib/sentrynet", "/etc/sentrynet/config.yaml"] {
        assert!(containerfile.contains(shared), "{shared}");
    }
}

#[test]
fn workflows_run_scripts_of_the_repository() {
    let folder = repository().join(".github/workflows");
    let scripts = regex::Regex::new(r"(?:^|\s)((?:\.ci|packaging|tests)/[\w-]+)").expect("the pattern is valid");
    for name in ["ci.yml", "release.yml"] {
        let text = std::fs::read_to_string(folder.join(name)).expect("the file exists");
        let workflow: Value = serde_yaml::from_str(&text).expect("the workflow is YAML");
        let jobs = workflow["jobs"].as_object().expect("there are jobs");
        let steps = jobs.values().flat_map(|job| job["steps"].as_array().into_iter().flatten());
        let commands: Vec<_> = steps.filter_map(|step| step["run"].as_str()).collect();
        assert!(commands.contains(&".ci/run"), "{name}: {commands:?}");
        for script in scripts.captures_iter(&commands.join("\n")).map(|found| found.extract::<1>().1[0].to_owned()) {
            assert!(repository().join(&script).is_file(), "{name}: {script}");
        }
    }
}
