#!/usr/bin/env python3
"""check_tree finds each breach that it is there for, in a small tree made for it."""

import pathlib
import tempfile
import unittest

import check_tree
import sources


class CheckTree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.write("CMakeLists.txt", "")
        self.write("libs/rpc/include/rpc/status.h", "#pragma once\n")
        self.write("libs/base/include/base/clock.h", "#pragma once\n")
        self.write("services/worker/slots.h", "#pragma once\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def breaches(self):
        return list(check_tree.breaches(self.root))

    def only_breach(self):
        found = self.breaches()
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_a_clean_tree(self):
        self.write("services/worker/main.cc", '#include "rpc/status.h"\n#include "slots.h"\n#include <grpcpp/server.h>\n')
        self.assertEqual(self.breaches(), [])

    def test_an_arrow_that_points_up(self):
        self.write("libs/base/src/clock.cc", '#include "base/clock.h"\n#include "rpc/status.h"\n')
        self.assertIn("clock.cc:2: rpc/status.h: libs/base may not include from libs/rpc", self.only_breach())

    def test_one_service_in_another(self):
        self.write("services/frontend/queue.cc", '#include "slots.h"\n')
        self.assertIn("may not include from services/worker", self.only_breach())

    def test_grpc_outside_its_places(self):
        self.write("services/frontend/queue.cc", '#include <grpcpp/grpcpp.h>\n')
        self.assertIn("gRPC", self.only_breach())

    def test_generated_headers_outside_their_places(self):
        self.write("libs/engine/src/plan.cc", '#include "histeq/v1/job.pb.h"\n')
        self.assertIn("gRPC", self.only_breach())

    def test_grpc_glue_may(self):
        self.write("services/frontend/grpc_frontend.cc", '#include <grpcpp/grpcpp.h>\n')
        self.assertEqual(self.breaches(), [])

    def test_highway_outside_the_library(self):
        self.write("libs/codec/src/rows.cc", '#include "hwy/highway.h"\n')
        self.assertIn("Highway", self.only_breach())

    def test_a_sleep(self):
        self.write("client/wait.cc", "void f() { std::this_thread::sleep_for(one_second); }\n")
        self.assertIn("sleeps", self.only_breach())

    def test_a_sleep_in_a_comment_is_none(self):
        self.write("client/wait.cc", "// never sleep_for(x)\nconst char* a = \"http://x\";\n")
        self.assertEqual(self.breaches(), [])

    def test_a_folder_named_after_nothing(self):
        self.write("libs/base/utils/a.h", "#pragma once\n")
        self.assertIn("named after", self.only_breach())

    def test_native_code(self):
        self.write("libs/base/CMakeLists.txt", "add_compile_options(-march=native)\n")
        self.assertIn("-march=native", self.only_breach())

    def test_work_left_open(self):
        self.write("libs/base/src/clock.cc", "// TODO\n")
        self.assertIn("finish it", self.only_breach())


class Sources(unittest.TestCase):
    def test_literals_are_read_outside_comments_only(self):
        text = 'f("A_B"); // "C_D"\n/* "E_F" */ g("x // y");\n'
        self.assertEqual([value for _, value in sources.string_literals(text)], ["A_B", "x // y"])


if __name__ == "__main__":
    unittest.main()
