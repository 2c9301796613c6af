"""The Open Inference Protocol's gRPC messages.

Source: grpc_predict_v2.proto of https://github.com/kserve/open-inference-protocol, and of the
model repository extension of https://github.com/triton-inference-server/server.
"""

from __future__ import annotations

from typing import Any

from serving.messages import build_messages, read_fields

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_NAMED = "string name = 1; string version = 2"
_TENSOR = """string name = 1; string datatype = 2; repeated int64 shape = 3;
    map InferParameter parameters = 4; InferTensorContents contents = 5"""

TABLE = {
    name: read_fields(fields)
    for name, fields in {
        "ServerLiveRequest": "",
        "ServerLiveResponse": "bool live = 1",
        "ServerReadyRequest": "",
        "ServerReadyResponse": "bool ready = 1",
        "ModelReadyRequest": _NAMED,
        "ModelReadyResponse": "bool ready = 1",
        "ServerMetadataRequest": "",
        "ServerMetadataResponse": f"{_NAMED}; repeated string extensions = 3",
        "ModelMetadataRequest": _NAMED,
        "ModelMetadataResponse": """string name = 1; repeated string versions = 2;
            string platform = 3; repeated ModelMetadataResponse.TensorMetadata inputs = 4;
            repeated ModelMetadataResponse.TensorMetadata outputs = 5""",
        "ModelMetadataResponse.TensorMetadata": """string name = 1; string datatype = 2;
            repeated int64 shape = 3""",
        "InferParameter": """oneof parameter_choice bool bool_param = 1;
            oneof parameter_choice int64 int64_param = 2;
            oneof parameter_choice string string_param = 3;
            oneof parameter_choice double double_param = 4;
            oneof parameter_choice uint64 uint64_param = 5""",
        "InferTensorContents": """repeated bool bool_contents = 1;
            repeated int32 int_contents = 2; repeated int64 int64_contents = 3;
            repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5;
            repeated float fp32_contents = 6; repeated double fp64_contents = 7;
            repeated bytes bytes_contents = 8""",
        "ModelInferRequest": """string model_name = 1; string model_version = 2; string id = 3;
            map InferParameter parameters = 4;
            repeated ModelInferRequest.InferInputTensor inputs = 5;
            repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6;
            repeated bytes raw_input_contents = 7""",
        "ModelInferRequest.InferInputTensor": _TENSOR,
        "ModelInferRequest.InferRequestedOutputTensor": """string name = 1;
            map InferParameter parameters = 2""",
        "ModelInferResponse": """string model_name = 1; string model_version = 2; string id = 3;
            map InferParameter parameters = 4;
            repeated ModelInferResponse.InferOutputTensor outputs = 5;
            repeated bytes raw_output_contents = 6""",
        "ModelInferResponse.InferOutputTensor": _TENSOR,
        "RepositoryIndexRequest": "string repository_name = 1; bool ready = 2",
        "RepositoryIndexResponse": "repeated RepositoryIndexResponse.ModelIndex models = 1",
        "RepositoryIndexResponse.ModelIndex": f"{_NAMED}; string state = 3; string reason = 4",
        "RepositoryModelLoadRequest": "string repository_name = 1; string model_name = 2",
        "RepositoryModelLoadResponse": "",
        "RepositoryModelUnloadRequest": "string repository_name = 1; string model_name = 2",
        "RepositoryModelUnloadResponse": "",
    }.items()
}
MESSAGES: dict[str, Any] = build_messages(PACKAGE, TABLE)
