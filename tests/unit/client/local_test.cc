// Which images are meant, what is made of them, and where it goes.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <sstream>

#include "base/error.h"
#include "local/finisher.h"
#include "local/image_list.h"
#include "local/made_file.h"
#include "local/output_plan.h"
#include "local/registry_place.h"
#include "scratch_folder.h"

namespace histeq::client {
namespace {

const std::string kPng = "\x89PNG\r\n\x1a\n and more";

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : "";
}

std::vector<std::string> Paths(const ImageList& list) {
  std::vector<std::string> paths;
  for (const InputImage& image : list.images) paths.push_back(image.path);
  return paths;
}

ImageList List(const std::vector<std::string>& inputs, const ImageListOptions& options = {}) {
  return ListImages(inputs, options);
}

v1::Thumbnail Size(uint32_t width, uint32_t height) {
  v1::Thumbnail thumbnail;
  thumbnail.set_width(width);
  thumbnail.set_height(height);
  return thumbnail;
}

TEST_CASE("results are known by their names") {
  for (const char* name : {"a_EQUALIZED.jpg", "a.jpg_thumb.jpg", "a.jpg_thumb.png",
                           "a.png_thumb_64x64.jpg", "a_EQUALIZED.jpg_thumb.jpg", "a_EQUALIZED"}) {
    INFO(name);
    CHECK(IsOwnOutput(name));
  }
  for (const char* name : {"a.jpg", "my_thumb.jpg", "a.jpg_thumb_big.jpg", "a.jpg_thumb_1x.jpg",
                           "EQUALIZED.jpg", "a.jpg_thumbs.jpg"}) {
    INFO(name);
    CHECK_FALSE(IsOwnOutput(name));
  }
}

TEST_CASE("images of a folder are those that look like it") {
  const ScratchFolder folder;
  folder.Write("b.JPG", "whatever");
  folder.Write("a.png", "whatever");
  folder.Write("no extension", kPng);
  folder.Write("words", "these are words");
  folder.Write("c.txt", kPng);
  folder.Write(".hidden.jpg", "");
  folder.Write("a_EQUALIZED.png", "");
  std::filesystem::create_directories(folder.Path("sub/deep"));
  folder.Write("sub/deep/d.jpeg", "");
  const ImageList flat = List({folder.Path("")});
  CHECK(Paths(flat) == std::vector<std::string>{folder.Path("a.png"), folder.Path("b.JPG"),
                                                folder.Path("no extension")});
  CHECK(flat.many);
  ImageListOptions deep;
  deep.recursive = true;
  const ImageList all = List({folder.Path("") + "/"}, deep);
  REQUIRE(all.images.size() == 4);
  CHECK(all.images[3].name() == "d.jpeg");
  CHECK(all.images[3].kept_folders() == "sub/deep/");
}

TEST_CASE("a file that is found twice is there once; loops end; the output is not walked") {
  const ScratchFolder folder;
  folder.Write("a.png", "");
  std::filesystem::create_directories(folder.Path("out"));
  folder.Write("out/x.png", "");
  std::filesystem::create_directory_symlink(folder.Path(""), folder.Path("loop"));
  std::filesystem::create_symlink(folder.Path("a.png"), folder.Path("again.png"));
  ImageListOptions options;
  options.recursive = true;
  options.output_folder = folder.Path("out");
  const ImageList list = List({folder.Path("a.png"), folder.Path(""), folder.Path("")}, options);
  CHECK(Paths(list) == std::vector<std::string>{folder.Path("a.png")});
}

TEST_CASE("a list of inputs, one a line") {
  const ScratchFolder folder;
  folder.Write("a.png", "");
  std::istringstream lines(folder.Path("a.png") + "\r\n\n" + folder.Path("missing.png"));
  ImageListOptions options;
  options.jobs_from = "-";
  options.in = &lines;
  const ImageList list = List({}, options);
  // What is missing is said when it is worked on.
  CHECK(Paths(list) == std::vector<std::string>{folder.Path("a.png"), folder.Path("missing.png")});
  CHECK(list.many);
  CHECK(list.refused.empty());

  ImageListOptions nowhere;
  nowhere.jobs_from = folder.Path("no such list");
  const ImageList none = List({}, nowhere);
  REQUIRE(none.refused.size() == 1);
  CHECK(ReasonOf(none.refused[0].second) == "FILE_NOT_FOUND");
  // A folder can be opened, and not be read.
  nowhere.jobs_from = folder.Path(".");
  const ImageList no_list = List({}, nowhere);
  REQUIRE(no_list.refused.size() == 1);
  CHECK_FALSE(no_list.refused[0].second.ok());

  std::istringstream noise(std::string(100'000, 'x'));
  options.in = &noise;
  const ImageList refused = List({}, options);
  REQUIRE(refused.refused.size() == 1);
  CHECK(ReasonOf(refused.refused[0].second) == "BAD_INPUT_LIST");
}

TEST_CASE("inputs of a list keep the folders between them and the current one") {
  std::istringstream lines("a/b/x.png\n./c//d/../y.png\nz.png\n../up/x.png\n/away/x.png\n");
  ImageListOptions options;
  options.jobs_from = "-";
  options.in = &lines;
  const ImageList list = List({}, options);
  REQUIRE(list.images.size() == 5);
  CHECK(list.images[0].kept_folders() == "a/b/");
  CHECK(list.images[1].kept_folders() == "c/");
  CHECK(list.images[2].kept_folders().empty());
  CHECK(list.images[3].kept_folders().empty());
  CHECK(list.images[4].kept_folders().empty());
  Recipe recipe;
  recipe.equalize.emplace();
  const auto plan = PlanOutputs(list.images[0], codec::ImageFormat::kPng, recipe, {.path = "out"});
  REQUIRE(plan.ok());
  CHECK(plan->outputs[0].path == "out/a/b/x_EQUALIZED.png");
  // Named on the command line they do not.
  CHECK(List({std::string("a/b/x.png")}).images[0].kept_folders().empty());
}

TEST_CASE("an output is in one registry") {
  const ScratchFolder folder;
  const std::string top = folder.Path("");
  const std::string root = folder.Path("root/");
  std::filesystem::create_directories(root + "sub/deep");
  RegistryCache registries(absl::Seconds(60));
  const auto find = [&](const std::string& of, const std::string& in) {
    return RegistryPlaces(registries).Find(of, in);
  };
  CHECK(find(root, root + "sub/").folder == root);
  CHECK(find(root, root + "sub/").NameOf(root + "sub/a.png") == "sub/a.png");
  // The nearest in the root or below.
  REQUIRE(registries.Get(root + "sub/").ok());
  CHECK(find(root, root + "sub/deep/").folder == root + "sub/");
  CHECK(find(root, root + "sub/deep/").NameOf(root + "sub/deep/a.png") == "deep/a.png");
  CHECK(find(root, root).folder == root);
  CHECK(find(root + "sub/", root + "sub/").folder == root + "sub/");
  // One above the root, when it knows outputs below.
  const auto above = registries.Get(top);
  REQUIRE(above.ok());
  CHECK(find(root, root).folder == root);
  const store::WantedOutput other[] = {{.path = "rooted/a.png", .key = "key"}};
  REQUIRE((*above)->Claim(other, false).ok());
  CHECK(find(root, root).folder == root);
  const store::WantedOutput wanted[] = {{.path = "root/a.png", .key = "key"}};
  REQUIRE((*above)->Claim(wanted, false).ok());
  const RegistryPlace place = find(root, root);
  CHECK(std::filesystem::equivalent(place.folder, top));
  CHECK(place.NameOf(root + "a.png") == "root/a.png");
  CHECK(find(root, root + "sub/").folder == root + "sub/");
  // Of the current folder, which paths need not name.
  const RegistryPlace current = {.folder = "/up/", .below = "./", .prefix = "here/"};
  CHECK(current.NameOf("a.png") == "here/a.png");
  CHECK(current.NameOf("./sub/a.png") == "here/sub/a.png");
}

TEST_CASE("a hundred thousand inputs are a list like any other") {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "/nowhere/" + std::to_string(i) + ".png\n";
  std::istringstream lines(text);
  ImageListOptions options;
  options.jobs_from = "-";
  options.in = &lines;
  CHECK(List({}, options).images.size() == 100'000);
}

TEST_CASE("outputs have the names that are documented") {
  const InputImage image = {.path = "photos/sub/img_100.jpg", .root_bytes = 7};
  CHECK(image.root() == "photos/");
  Recipe recipe;
  recipe.thumbnails = {Size(256, 256)};
  const auto plan = [&](const OutputPlace& place) {
    const auto planned = PlanOutputs(image, codec::ImageFormat::kJpeg, recipe, place);
    REQUIRE(planned.ok());
    std::vector<std::string> paths = {planned->registry_folder};
    for (const PlannedOutput& output : planned->outputs) paths.push_back(output.path);
    return paths;
  };
  using Words = std::vector<std::string>;
  CHECK(plan({}) == Words{"photos/", "photos/sub/img_100.jpg_thumb.jpg"});
  CHECK(plan({.path = "out"}) == Words{"out/", "out/sub/img_100.jpg_thumb.jpg"});
  recipe.thumbnails[0].set_format(v1::IMAGE_FORMAT_PNG);
  CHECK(plan({.path = "out"})[1] == "out/sub/img_100.jpg_thumb.png");
  recipe.thumbnails = {Size(256, 256), Size(64, 32)};
  CHECK(plan({.path = "out"}) == Words{"out/", "out/sub/img_100.jpg_thumb_256x256.jpg",
                                       "out/sub/img_100.jpg_thumb_64x32.jpg"});
  recipe.equalize.emplace();
  CHECK(plan({.path = "out/"}) == Words{"out/", "out/sub/img_100_EQUALIZED.jpg",
                                        "out/sub/img_100_EQUALIZED.jpg_thumb_256x256.jpg",
                                        "out/sub/img_100_EQUALIZED.jpg_thumb_64x32.jpg"});
  recipe.thumbnails.clear();
  CHECK(plan({.path = "out/x.jpg", .is_file = true}) == Words{"out/", "out/x.jpg"});
  // Beside a file that is named itself.
  const auto alone =
      PlanOutputs({.path = "img.png", .root_bytes = 0}, codec::ImageFormat::kPng, recipe, {});
  REQUIRE(alone.ok());
  CHECK(alone->outputs[0].path == "img_EQUALIZED.png");
  CHECK(alone->registry_folder == "./");

  CHECK(ReasonOf(PlanOutputs({.path = "out/a.png", .root_bytes = 4}, codec::ImageFormat::kPng,
                             recipe, {.path = "out", .keep_name = true})
                     .status()) == "BAD_OUTPUT");
  recipe.thumbnails = {Size(1, 1)};
  CHECK(ReasonOf(
            PlanOutputs(image, codec::ImageFormat::kPng, recipe, {.path = "x.jpg", .is_file = true})
                .status()) == "BAD_OUTPUT");
}

TEST_CASE("a name that would become too long is cut") {
  std::string name(251, 'a');
  name.append(".jpg");
  Recipe recipe;
  recipe.thumbnails = {Size(1, 1)};
  const auto plan =
      PlanOutputs({.path = name, .root_bytes = 0}, codec::ImageFormat::kJpeg, recipe, {});
  REQUIRE(plan.ok());
  CHECK(plan->outputs[0].path.size() == 255);
  CHECK(plan->outputs[0].path.ends_with("_thumb.jpg"));
}

TEST_CASE("what is missing is made in one go") {
  Recipe recipe;
  recipe.equalize.emplace();
  recipe.thumbnails = {Size(256, 256), Size(64, 64)};
  const auto plan =
      PlanOutputs({.path = "a.jpg", .root_bytes = 0}, codec::ImageFormat::kJpeg, recipe, {});
  REQUIRE(plan.ok());
  std::vector<int> results;
  const v1::Operation all = CombinedOperation(recipe, plan->outputs, results);
  CHECK(all.derive().has_equalize());
  CHECK(all.derive().thumbnails_size() == 2);
  CHECK(results == std::vector<int>{0, 1, 2});
  // The copy is there: it is made on the way, and dropped.
  const v1::Operation last = CombinedOperation(recipe, {plan->outputs[2]}, results);
  CHECK(last.derive().thumbnails_size() == 1);
  CHECK(last.derive().thumbnails(0).width() == 64);
  CHECK(results == std::vector<int>{-1, 0});
  const v1::Operation copy = CombinedOperation(recipe, {plan->outputs[0]}, results);
  CHECK(copy.has_equalize());
  CHECK(results == std::vector<int>{0});

  recipe.equalize.reset();
  const auto thumbnails =
      PlanOutputs({.path = "a.jpg", .root_bytes = 0}, codec::ImageFormat::kJpeg, recipe, {});
  CHECK(CombinedOperation(recipe, thumbnails->outputs, results).derive().thumbnails_size() == 2);
  CHECK(results == std::vector<int>{0, 1});
  CHECK(CombinedOperation(recipe, {thumbnails->outputs[1]}, results).thumbnail().width() == 64);
}

TEST_CASE("a key changes with everything that the bytes depend on") {
  v1::Operation operation;
  operation.mutable_equalize();
  const std::string key = OutputKey("/a.jpg", 10, 20, operation);
  CHECK(key.size() == 64);
  CHECK(key == OutputKey("/a.jpg", 10, 20, operation));
  CHECK(key != OutputKey("/b.jpg", 10, 20, operation));
  CHECK(key != OutputKey("/a.jpg", 11, 20, operation));
  CHECK(key != OutputKey("/a.jpg", 10, 21, operation));
  operation.mutable_equalize()->set_method(v1::Equalize::METHOD_CLIP_LIMITED);
  const std::string clipped = OutputKey("/a.jpg", 10, 20, operation);
  CHECK(key != clipped);
  // What is given and what goes without saying is the same.
  operation.mutable_equalize()->set_clip_limit(2);
  operation.mutable_equalize()->set_strength(1);
  CHECK(clipped == OutputKey("/a.jpg", 10, 20, operation));
  operation.mutable_equalize()->set_clip_limit(3);
  CHECK(clipped != OutputKey("/a.jpg", 10, 20, operation));
  operation.mutable_thumbnail()->set_width(100);
  operation.mutable_thumbnail()->set_height(100);
  const std::string thumbnail = OutputKey("/a.jpg", 10, 20, operation);
  operation.mutable_thumbnail()->set_fit(v1::Thumbnail::FIT_INSIDE);
  operation.mutable_thumbnail()->set_quality(85);
  operation.mutable_thumbnail()->set_background(0xffffff);
  CHECK(thumbnail == OutputKey("/a.jpg", 10, 20, operation));
  operation.mutable_thumbnail()->set_quality(86);
  CHECK(thumbnail != OutputKey("/a.jpg", 10, 20, operation));
}

TEST_CASE("a file on its way to a name") {
  const ScratchFolder folder;
  const std::string path = folder.Path("new/folder/.part");
  {
    const auto whole = MadeFile::Create(path);
    REQUIRE(whole.ok());
    CHECK(ReasonOf(MadeFile::Create(path).status()) == "OUTPUT_NOT_WRITABLE");
    folder.Write("new/folder/.part", "aaaabbbbbbcc");
    {
      const auto part = MadeFile::Create(folder.Path("part"));
      REQUIRE(part.ok());
      REQUIRE((*part)->CopyFrom(**whole, 4, 6).ok());
      CHECK(folder.Read("part") == "bbbbbb");
    }
    REQUIRE((*whole)->KeepRange(2, 8).ok());
    const auto facts = (*whole)->Sync();
    REQUIRE(facts.ok());
    CHECK(facts->size_bytes == 8);
    CHECK(folder.Read("new/folder/.part") == "aabbbbbb");
    CHECK(facts->sha256 == store::Sha256Of({reinterpret_cast<const uint8_t*>("aabbbbbb"), 8}));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_FALSE(std::filesystem::exists(folder.Path("part")));
}

TEST_CASE("a file gets its name when it is whole") {
  const ScratchFolder folder;
  const std::string path = folder.Path("a.png");
  const std::string bytes = "bytes";
  const auto make = [&] {
    auto made = MadeFile::CreateIn(folder.Path(""), path);
    REQUIRE(made.ok());
    REQUIRE(write((*made)->descriptor(), bytes.data(), bytes.size()) == 5);
    return *std::move(made);
  };
  {
    const auto file = make();
    // No name: nothing of it stays, whatever happens. This folder's file system has such files.
    CHECK(folder.Names().empty());
    CHECK(file->GiveName(path, false).ok());
    CHECK(folder.Read("a.png") == bytes);
  }
  CHECK(folder.Names() == std::set<std::string>{"a.png"});
  folder.Write("a.png", "mine");
  CHECK(ReasonOf(make()->GiveName(path, false)) == "OUTPUT_EXISTS");
  CHECK(folder.Read("a.png") == "mine");
  CHECK(make()->GiveName(path, true).ok());
  CHECK(folder.Read("a.png") == bytes);
  CHECK(folder.Names() == std::set<std::string>{"a.png"});
  CHECK(ReasonOf(MadeFile::CreateIn(folder.Path("none"), path).status()) == "OUTPUT_NOT_WRITABLE");
}

TEST_CASE("temporary names tell whose they are, and those of the dead go") {
  const ScratchFolder folder;
  const std::string path = folder.Path("a.png");
  std::string name;
  {
    const auto file = MadeFile::CreateIn(folder.Path(""), path, /*named=*/true);
    REQUIRE(file.ok());
    REQUIRE(folder.Names().size() == 1);
    name = *folder.Names().begin();
    // Another one does not take it for left behind.
    CHECK(MadeFile::CreateIn(folder.Path(""), path, /*named=*/true).ok());
    CHECK(folder.Names() == std::set<std::string>{name});
    CHECK((*file)->GiveName(path, false).ok());
  }
  CHECK(folder.Names() == std::set<std::string>{"a.png"});
  // A process of this number that began at another time has ended.
  const size_t pid = name.find('-', sizeof(".histeq-")) + 1;
  const size_t ticks = name.find('-', pid) + 1;
  std::string dead = name;
  dead.insert(ticks, "1");
  folder.Write(dead, "left");
  folder.Write(".histeq-mine.part", "mine");
  std::string elsewhere = dead;
  elsewhere[sizeof(".histeq-")] = elsewhere[sizeof(".histeq-")] == '0' ? '1' : '0';
  folder.Write(elsewhere, "of another machine");
  CHECK(MadeFile::CreateIn(folder.Path(""), path, /*named=*/true).ok());
  CHECK(folder.Names() == std::set<std::string>{"a.png", ".histeq-mine.part", elsewhere});
}

TEST_CASE("tasks that wait for the disk run beside each other, and all of them") {
  constexpr int kTasks = 50;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> done = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  {
    Finisher finisher(4, kTasks);
    for (int i = 0; i < kTasks; ++i) {
      finisher.Submit([&] {
        const int now = ++running;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        std::unique_lock lock(mutex);
        changed.notify_all();
        // Until all four are here.
        changed.wait_for(lock, std::chrono::seconds(60), [&] { return open || running == 4; });
        open = true;
        --running;
        ++done;
      });
    }
  }
  CHECK(done == kTasks);
  CHECK(most == 4);
}

}  // namespace
}  // namespace histeq::client
