#include "commands/image_flags.h"
#include "commands/image_work.h"
#include "commands/operation_flags.h"
#include "commands/session.h"

namespace histeq::client {
namespace {

struct EqualizeFlags {
  ImageFlags images;
  OperationFlags operation;
};

ExitCode RunEqualize(Session& session, const EqualizeFlags& flags) {
  return RunImages(session, flags.images, &flags.operation, {});
}

}  // namespace

void AddEqualizeCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<EqualizeFlags>();
  CLI::App* command = app.add_subcommand("equalize", "Equalize files, here or with a server");
  command
      ->add_option("-o,--output", flags->images.out,
                   "A file for one input (- for the standard output), a folder for several. "
                   "Default: photo_EQUALIZED.jpg beside photo.jpg")
      ->type_name("OUT");
  command->add_flag("--keep-name", flags->images.keep_name,
                    "Results in the folder OUT keep the names of their inputs");
  AddImageFlags(*command, flags->images);
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nExamples:\n"
      "  histeq equalize photo.jpg                      photo_EQUALIZED.jpg\n"
      "  histeq equalize photo.jpg -o better.jpg\n"
      "  histeq equalize scans/ --recursive -o equalized/ --processes 8\n"
      "  find . -name '*.jpg' | histeq equalize --jobs-from - -o equalized/\n"
      "  histeq equalize scans/*.png -o equalized/ --server images.example.org:7070\n"
      "  histeq equalize xray.png --method clahe --grid 8x8 --clip 2\n"
      "  histeq equalize today.png --reference yesterday.png\n"
      "\nOf several images each is made once: a registry in the folder of the results "
      "(.histeq.sqlite) says what is\nmade, and by whom. Started again, also after Ctrl-C or a "
      "crash, or twice at once, the command makes what is\nmissing. Interrupted, it leaves no "
      "half-written file; jobs that were queued on a server go on, and it says how\ntheir results "
      "are fetched. Global flags: histeq --help.");
  Choose(*command, chosen, flags, RunEqualize);
}

}  // namespace histeq::client
