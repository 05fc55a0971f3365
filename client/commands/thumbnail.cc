#include <utility>

#include "commands/image_flags.h"
#include "commands/image_work.h"
#include "commands/operation_flags.h"
#include "commands/session.h"
#include "commands/thumbnail_flags.h"
#include "engine/thumbnail_parameters.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct ThumbnailFlags {
  ImageFlags images;
  ThumbnailOptions thumbnail;
  bool equalizes = false;
  OperationFlags operation;
};

ExitCode RunThumbnail(Session& session, const ThumbnailFlags& flags) {
  if (!flags.equalizes && AnyGiven(flags.operation)) {
    session.display.Error("how contrast is changed counts with --equalize alone");
    return kUsage;
  }
  std::vector<v1::Thumbnail> thumbnails = ThumbnailsOf(flags.thumbnail);
  if (thumbnails.size() > engine::kMaxThumbnails) {
    session.display.Error(fmt::format("--size: {} sizes; at most {} are made at once",
                                      thumbnails.size(), engine::kMaxThumbnails));
    return kUsage;
  }
  return RunImages(session, flags.images, flags.equalizes ? &flags.operation : nullptr,
                   std::move(thumbnails));
}

}  // namespace

void AddThumbnailCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ThumbnailFlags>();
  CLI::App* command =
      app.add_subcommand("thumbnail", "Make smaller copies of files, here or with a server");
  command
      ->add_option("-o,--output", flags->images.out,
                   "A folder; for one input and one size also a file (- for the standard output). "
                   "Default: photo.jpg_thumb.jpg beside photo.jpg")
      ->type_name("OUT");
  AddThumbnailOptions(*command, "--size", /*required=*/true, flags->thumbnail);
  command
      ->add_flag("--equalize", flags->equalizes,
                 "Equalize first, and make the thumbnails of the result, which is kept too "
                 "(photo_EQUALIZED.jpg, photo_EQUALIZED.jpg_thumb.jpg)")
      ->group("Thumbnail");
  AddImageFlags(*command, flags->images);
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nExamples:\n"
      "  histeq thumbnail photo.jpg --size 256               photo.jpg_thumb.jpg\n"
      "  histeq thumbnail photos/ -r --size 256 --size 1024x768 -o thumbs/ --processes 4\n"
      "  histeq thumbnail photos/ --size 320x240 --fit cover --format jpeg -o thumbs/\n"
      "  histeq thumbnail photo.jpg --size 256 --equalize --method clahe\n"
      "\nOf several images each is made once, as with equalize. Global flags: histeq --help.");
  Choose(*command, chosen, flags, RunThumbnail);
}

}  // namespace histeq::client
