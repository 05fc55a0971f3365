#include "commands/image_flags.h"

#include <cstdlib>

#include "rpc/program.h"

namespace histeq::client {

void AddImageFlags(CLI::App& command, ImageFlags& flags) {
  command.add_option("IN", flags.inputs, "Files, or folders of images")->type_name("");
  command
      .add_option("--jobs-from", flags.jobs_from,
                  "A file with one input a line, - for the standard input; relative paths are "
                  "mirrored below OUT")
      ->type_name("FILE");
  command.add_flag("-r,--recursive", flags.recursive,
                   "Folders below the folders too; OUT gets the same folders");
  command.add_flag("--force,--refresh", flags.force,
                   "Make again what is there, and replace files that exist already");
  command.add_option("--parallel", flags.parallel, "Inputs worked on at once by a server")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  constexpr const char* kGroup = "Without a server";
  CLI::Option* const threads =
      command
          .add_option("--threads", flags.threads,
                      "Work in this command, on so many threads. Default without a server: one for "
                      "each processor")
          ->type_name("N")
          ->check(CLI::Range(1, 4096))
          ->group(kGroup);
  command
      .add_option("--processes", flags.processes,
                  "Work in so many processes: an image that crashes its process, hangs or takes "
                  "too much memory fails alone")
      ->type_name("N")
      ->check(CLI::Range(1, 1024))
      ->excludes(threads)
      ->group(kGroup);
  rpc::AddSizeOption(command, "--image-budget", flags.image_budget_bytes,
                     "Decoded samples in memory on threads; more go to temporary files")
      ->group(kGroup);
  rpc::AddSizeOption(command, "--worker-memory", flags.worker_memory_bytes,
                     "Private memory of each process")
      ->group(kGroup);
  command
      .add_option("--image-timeout-s", flags.image_timeout_s,
                  "An image that keeps its process for longer fails")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(1.0, 86400.0))
      ->group(kGroup);
  command.add_option("--max-pixels", flags.max_pixels, "Pixels of an image")
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      .add_option("--scratch-dir", flags.scratch_dir,
                  "Where temporary files go. Default: $TMPDIR, or /var/tmp")
      ->type_name("DIR")
      ->group(kGroup);
  // For tests: hidden.
  command.add_option("--test-worker-fault", flags.test_faults)->group("");
}

bool IsLocal(const Session& session, const ImageFlags& flags) {
  return flags.threads > 0 || flags.processes > 0 || !session.server_given;
}

std::string ScratchFolder(const ImageFlags& flags) {
  if (!flags.scratch_dir.empty()) return flags.scratch_dir;
  const char* folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/var/tmp";
}

}  // namespace histeq::client
