// Makes clients from nothing but a server's address, by gRPC server reflection.
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import protobuf from 'protobufjs';

// The few messages of grpc.reflection.v1alpha that are needed to ask for a symbol.
const REFLECTION = protobuf.parse(`
  syntax = "proto3";
  package grpc.reflection.v1alpha;
  service ServerReflection {
    rpc ServerReflectionInfo(stream ServerReflectionRequest) returns (stream ServerReflectionResponse);
  }
  message ServerReflectionRequest {
    string host = 1;
    oneof message_request {
      string file_by_filename = 3;
      string file_containing_symbol = 4;
      string list_services = 7;
    }
  }
  message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
  message ServiceResponse { string name = 1; }
  message ListServiceResponse { repeated ServiceResponse service = 1; }
  message ErrorResponse { int32 error_code = 1; string error_message = 2; }
  message ServerReflectionResponse {
    string valid_host = 1;
    oneof message_response {
      FileDescriptorResponse file_descriptor_response = 4;
      ListServiceResponse list_services_response = 6;
      ErrorResponse error_response = 7;
    }
  }`, { keepCase: true }).root;

// One question on a stream of its own.
async function ask(address, question) {
  const Request = REFLECTION.lookupType('grpc.reflection.v1alpha.ServerReflectionRequest');
  const Response = REFLECTION.lookupType('grpc.reflection.v1alpha.ServerReflectionResponse');
  const Client = grpc.makeGenericClientConstructor({
    info: {
      path: '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
      requestStream: true,
      responseStream: true,
      requestSerialize: (message) => Buffer.from(Request.encode(Request.create(message)).finish()),
      requestDeserialize: (bytes) => Request.decode(bytes),
      responseSerialize: (message) => Buffer.from(Response.encode(message).finish()),
      responseDeserialize: (bytes) => Response.decode(bytes),
    },
  }, 'ServerReflection');
  const client = new Client(address, grpc.credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      const call = client.info({}, { deadline: Date.now() + 30_000 });
      call.on('error', reject);
      call.on('data', (response) => {
        resolve(response);
        call.end();
      });
      call.write(question);
    });
  } finally {
    client.close();
  }
}

export async function listServices(address) {
  const answer = await ask(address, { list_services: '' });
  return answer.list_services_response.service.map((service) => service.name);
}

const LEN = 2;

// A FileDescriptorSet is its files, each as field 1.
function descriptorSet(files) {
  const writer = protobuf.Writer.create();
  for (const file of files) writer.uint32(1 << 3 | LEN).bytes(file);
  return Buffer.from(writer.finish());
}

// The generated-like client class of a service, by its full name.
export async function clientOf(address, service) {
  const answer = await ask(address, { file_containing_symbol: service });
  if (answer.error_response) throw new Error(answer.error_response.error_message);
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(
      descriptorSet(answer.file_descriptor_response.file_descriptor_proto),
      { longs: Number, enums: String, oneofs: true, keepCase: false });
  const Client = service.split('.').reduce((scope, name) => scope[name], grpc.loadPackageDefinition(definition));
  return new Client(address, grpc.credentials.createInsecure());
}

const STATUS = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`).root;

// The google.rpc.ErrorInfo of an error, or undefined.
export function errorInfoOf(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!bytes) return undefined;
  const status = STATUS.lookupType('Status').decode(bytes);
  const info = status.details.find((any) => any.typeUrl.endsWith('/google.rpc.ErrorInfo'));
  return info && STATUS.lookupType('ErrorInfo').decode(info.value);
}
