//! Translates the bindings for C into Zig. Zig could do this itself (`translate-c`), but compiles its translator first,
//! which takes minutes.

/// Translates the header that wit-bindgen generates: types, constants, and functions of one line each. The functions
/// that a probe exports are left out, since the probe defines them.
///
/// # Errors
/// Returns the first line that is none of these.
pub fn translate(header: &str) -> Result<String, String> {
    let mut zig =
        "// The contract with the host: the declarations of probe.h, in Zig. Generated with SentryNet.\n".to_owned();
    for line in header.lines() {
        let content = line.trim();
        let unknown = || format!("cannot translate this line of the C bindings into Zig: {line}");
        let translated = if content.is_empty() || content.starts_with("//") {
            content.to_owned()
        } else if let Some(definition) = content.strip_prefix("#define ") {
            match definition.split_once(' ') {
                Some((name, value)) if value.parse::<u32>().is_ok() => format!("pub const {name} = {value};"),
                _ => continue,
            }
        } else if content.starts_with('#') || content == "extern \"C\" {" || line == "}" {
            continue;
        } else if content.starts_with("typedef struct") {
            // The name of a type follows its fields.
            "pub const  = extern struct {".to_owned()
        } else if content == "union {" {
            "    val: extern union {".to_owned()
        } else if content == "} val;" {
            "    },".to_owned()
        } else if let Some(name) = content.strip_prefix("} ") {
            let name = name.strip_suffix(';').ok_or_else(unknown)?;
            let start = zig.rfind("pub const  =").ok_or_else(unknown)?;
            zig.insert_str(start + "pub const ".len(), name);
            "};".to_owned()
        } else if let Some(alias) = content.strip_prefix("typedef ") {
            let (name, declared) = declaration(alias.trim_end_matches(';')).ok_or_else(unknown)?;
            format!("pub const {name} = {declared};")
        } else if let Some(function) = content.strip_suffix(");") {
            let (name, function) = translate_function(function).ok_or_else(unknown)?;
            if name.starts_with("exports_") && !name.ends_with("_free") {
                continue;
            }
            function
        } else {
            let (name, declared) = declaration(content.strip_suffix(';').ok_or_else(unknown)?).ok_or_else(unknown)?;
            format!("    {}: {declared},", escape(&name))
        };
        zig += translated.trim_end();
        zig.push('\n');
    }
    Ok(zig)
}

/// Translates a function without the end of its declaration. Returns its name, and its declaration in Zig.
fn translate_function(function: &str) -> Option<(String, String)> {
    let (head, parameters) = function.strip_prefix("extern ").unwrap_or(function).split_once('(')?;
    let (name, returned) = declaration(head)?;
    let parameters = parameters.split(", ").filter(|parameter| !["", "void"].contains(parameter));
    let parameters: Option<Vec<_>> = parameters
        .map(|parameter| declaration(parameter).map(|(name, declared)| format!("{}: {declared}", escape(&name))))
        .collect();
    let function = format!("pub extern fn {name}({}) {returned};", parameters?.join(", "));
    Some((name, function))
}

/// Translates a declaration such as `uint8_t *ptr`. Returns its name and its type.
fn declaration(declaration: &str) -> Option<(String, String)> {
    let (declared, name) = declaration.split_at(declaration.rfind([' ', '*'])? + 1);
    let (declared, is_pointer) = match declared.trim().strip_suffix('*') {
        Some(target) => (target.trim(), true),
        None => (declared.trim(), false),
    };
    let translated = match declared {
        "bool" | "void" => declared,
        "const char" => "const u8",
        "double" => "f64",
        "float" => "f32",
        "int8_t" => "i8",
        "int16_t" => "i16",
        "int32_t" => "i32",
        "int64_t" => "i64",
        "size_t" => "usize",
        "uint8_t" => "u8",
        "uint16_t" => "u16",
        "uint32_t" => "u32",
        "uint64_t" => "u64",
        own if own.starts_with("probe_") || own.contains("sentrynet_probe_") => own,
        _ => return None,
    };
    let pointer = if is_pointer { "[*c]" } else { "" };
    Some((name.to_owned(), format!("{pointer}{translated}")))
}

/// Puts a name into quotes that is a word of Zig.
fn escape(name: &str) -> String {
    const WORDS: &[&str] = &[
        "align",
        "allowzero",
        "and",
        "anyframe",
        "anytype",
        "asm",
        "bool",
        "break",
        "callconv",
        "catch",
        "comptime",
        "const",
        "continue",
        "defer",
        "else",
        "enum",
        "errdefer",
        "error",
        "export",
        "extern",
        "fn",
        "for",
        "if",
        "inline",
        "noalias",
        "opaque",
        "or",
        "orelse",
        "packed",
        "pub",
        "resume",
        "return",
        "struct",
        "suspend",
        "switch",
        "test",
        "threadlocal",
        "try",
        "type",
        "union",
        "unreachable",
        "var",
        "void",
        "volatile",
        "while",
    ];
    if WORDS.contains(&name) { format!("@\"{name}\"") } else { name.to_owned() }
}
