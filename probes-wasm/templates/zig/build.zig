const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .wasi });
    const optimize = .small;
    const contract = b.addTranslateC(.{
        .root_source_file = b.path("bindings/probe.h"),
        .target = target,
        .optimize = optimize,
    });
    const module = b.createModule(.{
        .root_source_file = b.path("probe.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .imports = &.{.{ .name = "contract", .module = contract.createModule() }},
    });
    module.addCSourceFile(.{ .file = b.path("bindings/probe.c") });
    module.addObjectFile(b.path("bindings/probe_component_type.o"));
    const probe = b.addExecutable(.{ .name = "json-health", .root_module = module });
    // A reactor: a library that its host calls, without a main function.
    probe.wasi_exec_model = .reactor;
    probe.entry = .disabled;
    b.installArtifact(probe);
}
