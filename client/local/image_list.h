#pragma once

// Which images the arguments of a command mean.

#include <istream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/cancel.h"

namespace histeq::client {

// One image file. What it is called once, however many there are.
struct InputImage {
  std::string path;
  // Bytes of `path` that name the folder that was walked, with its slash; 0 for a file that was
  // named itself.
  uint32_t root_bytes = 0;
  // Of a list, by a path below the current folder: results keep all its folders.
  bool keeps_folders = false;

  // "": named itself.
  std::string root() const { return path.substr(0, root_bytes); }
  // The folders that results keep, with a slash at the end: those between the root and the file;
  // "" for none.
  std::string kept_folders() const;
  // The last part.
  std::string name() const { return path.substr(path.rfind('/') + 1); }
};

struct ImageListOptions {
  // Folders below the folders too.
  bool recursive = false;
  // Where results go: not walked. Empty: none.
  std::string output_folder;
  // A file with one input a line; "-": `in`. Empty: none.
  std::string jobs_from;
  std::istream* in = nullptr;
  base::CancelToken token;
};

struct ImageList {
  // Files that are named, in order, and those of folders by name. A file that is found twice is
  // there once.
  std::vector<InputImage> images;
  // Inputs, or folders below them, that cannot be read, and why.
  std::vector<std::pair<std::string, absl::Status>> refused;
  // Inputs were folders, or came from a list, or were several.
  bool many = false;
};

// Files that are named are taken as they are, also when they are missing: working on them says
// what is wrong. Of a folder's files those are taken that look like images, by their extension or
// else their first bytes; hidden files and folders, links to folders, and what this program has
// made (IsOwnOutput) are passed over.
ImageList ListImages(std::span<const std::string> inputs, const ImageListOptions& options);

// Whether a file name is that of a result: "a_EQUALIZED.jpg", "a.jpg_thumb.png",
// "a.jpg_thumb_64x64.jpg".
bool IsOwnOutput(const std::string& name);

}  // namespace histeq::client
