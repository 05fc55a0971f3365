// Every method through the services: the same bytes however many workers share the segments.

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

struct Case {
  std::string name;
  std::string image_id;
  v1::Equalize equalize;
  // Without workers.
  std::string expected;
};

v1::Equalize Method(v1::Equalize::Method method,
                    v1::Equalize::Color color = v1::Equalize::COLOR_UNSPECIFIED) {
  v1::Equalize equalize;
  equalize.set_method(method);
  equalize.set_color(color);
  return equalize;
}

std::string ResultOf(FrontendClient& client, const Case& test) {
  v1::CreateJobRequest request;
  request.set_request_id(NewId());
  request.set_image_id(test.image_id);
  *request.mutable_operation()->mutable_equalize() = test.equalize;
  // It is there from the last time.
  request.set_refresh(true);
  v1::CreateJobResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  const grpc::Status status = client.calls().CreateJob(&context, request, &response);
  REQUIRE(Outcome(status) == "OK");
  const v1::Job job = client.AwaitFinal(response.job().id());
  INFO(job.ShortDebugString());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  return client.DownloadImage(job.result_image_id());
}

TEST_CASE("every method gives equal bytes with 0, 1, 2 and 5 workers") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  FrontendClient client(cluster.frontend().address());
  REQUIRE(client.AwaitNodes(1, 0));
  // Each some segments of the plan.
  const Picture gray = Tiled(DecodePng(ReadFile(TestData("camera.png")), 1), 4096, 4096);
  const Picture moon = Tiled(DecodePng(ReadFile(TestData("moon.png")), 1), 2048, 5120);
  const Picture color = Tiled(DecodeJpeg(ReadFile(TestData("rocket.jpg")), 3), 2560, 2560);
  const std::string gray8 = client.UploadOnly(EncodePng(gray), "gray.png").id();
  const std::string gray16 = client.UploadOnly(EncodePng16(moon), "gray16.png").id();
  const std::string jpeg = client.UploadOnly(EncodeJpeg(color), "color.jpg").id();
  const std::string rgb = client.UploadOnly(EncodePng(color), "color.png").id();

  v1::Equalize like_moon = Method(v1::Equalize::METHOD_MATCH);
  like_moon.set_reference_image_id(
      client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png").id());
  v1::Equalize like_gray16 = Method(v1::Equalize::METHOD_MATCH);
  like_gray16.set_reference_image_id(gray16);
  v1::Equalize gaussian = Method(v1::Equalize::METHOD_MATCH);
  gaussian.set_target_distribution(v1::Equalize::DISTRIBUTION_GAUSSIAN);
  v1::Equalize uneven = Method(v1::Equalize::METHOD_CLAHE);
  uneven.set_grid_x(7);
  uneven.set_grid_y(3);
  uneven.set_clip_limit(3);

  std::vector<Case> cases = {
      {"gray clahe", gray8, Method(v1::Equalize::METHOD_CLAHE), {}},
      {"gray clahe, a grid that does not divide the image", gray8, uneven, {}},
      {"gray matched to an image", gray8, like_moon, {}},
      {"16 bit clahe", gray16, uneven, {}},
      {"16 bit matched to itself", gray16, like_gray16, {}},
      {"16 bit matched to a Gaussian", gray16, gaussian, {}},
      {"jpeg clahe of luma", jpeg, Method(v1::Equalize::METHOD_CLAHE), {}},
      {"jpeg matched to an image", jpeg, like_moon, {}},
      {"jpeg per channel",
       jpeg,
       Method(v1::Equalize::METHOD_GLOBAL, v1::Equalize::COLOR_PER_CHANNEL),
       {}},
      {"rgb clahe of the value",
       rgb,
       Method(v1::Equalize::METHOD_CLAHE, v1::Equalize::COLOR_VALUE),
       {}},
      {"rgb clip-limited", rgb, Method(v1::Equalize::METHOD_CLIP_LIMITED), {}},
      {"rgb stretched", rgb, Method(v1::Equalize::METHOD_STRETCH), {}},
  };
  for (Case& test : cases) {
    INFO(test.name);
    test.expected = ResultOf(client, test);
  }
  // What must differ does.
  CHECK(cases[0].expected != cases[1].expected);
  CHECK(cases[0].expected != cases[2].expected);

  int workers = 0;
  for (const int wanted : {1, 2, 5}) {
    for (; workers < wanted; ++workers) cluster.AddWorker("worker-" + std::to_string(workers));
    REQUIRE(client.AwaitNodes(1, wanted));
    for (const Case& test : cases) {
      INFO(test.name << ", " << wanted << " workers");
      CHECK(ResultOf(client, test) == test.expected);
    }
  }
  CHECK(FilesBelow(cluster.scratch_folder()).empty());
}

}  // namespace
}  // namespace histeq::integration
