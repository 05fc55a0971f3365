#pragma once

// Records of the catalog as messages of the contract, and back.

#include <string>

#include "histeq/v1/frontend.pb.h"
#include "histeq/v1/image.pb.h"
#include "histeq/v1/job.pb.h"
#include "histeq/v1/node.pb.h"
#include "node_registry.h"
#include "store/records.h"

namespace histeq::frontend {

v1::Image ToProto(const store::ImageRecord& image);
// With what it waits for, as far as `nodes` knows.
v1::Job ToProto(const store::JobRecord& job, const NodeRegistry& nodes);
v1::JobError ToProto(const store::JobError& error);
v1::GetImageResponse ToProto(const store::ImageDescription& description, const NodeRegistry& nodes);
// A list of jobs or derivatives has no room for it.
void LeaveOutHistogram(v1::Operation& operation);
v1::JobProgress ToProto(const store::JobProgress& progress);
store::JobProgress FromProto(const v1::JobProgress& progress);
// Texts are cut, so that a row of the catalog stays small.
store::JobError FromProto(const v1::JobError& error);

// Everything but `registered`.
v1::CoordinatorInfo ToProto(const NodeRegistry::Node& node);
NodeReport FromProto(const v1::CoordinatorInfo& info);

}  // namespace histeq::frontend
