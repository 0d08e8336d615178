# set: full
# limit: 120
mkdir p && cd p && cat >CMakeLists.txt <<'E'
cmake_minimum_required(VERSION 3.10)
project(p C CXX)
enable_testing()
find_package(Threads REQUIRED)
include(CheckFunctionExists)
check_function_exists(memfd_create HAVE_MEMFD)
add_library(l STATIC l.c)
add_library(s SHARED l.c)
add_executable(a a.cc)
target_link_libraries(a l Threads::Threads)
add_executable(b a.cc)
target_link_libraries(b s)
add_custom_command(OUTPUT gen.txt COMMAND ${CMAKE_COMMAND} -E echo made > gen.txt)
add_custom_target(gen ALL DEPENDS gen.txt)
add_test(NAME one COMMAND a)
add_test(NAME two COMMAND b 3)
set_tests_properties(two PROPERTIES WILL_FAIL TRUE)
install(TARGETS a s DESTINATION bin)
E
echo 'int f(int x) { return x * 2; }' >l.c; printf '#include <thread>\nextern "C" int f(int);\nint main(int c, char **) { int r = 0; std::thread t([&] { r = f(c); }); t.join(); return r - 2; }\n' >a.cc
cmake -S . -B b | grep -E 'C compiler ident|memfd|done'; cmake --build b -j2 2>&1 | grep -cE 'Built target'; (cd b && ctest -j2 | grep -E 'tests passed'); DESTDIR=$PWD/i cmake --install b | sed "s,$PWD,," | sort; cat b/gen.txt; ./i/usr/local/bin/a; echo $?; cmake --build b | wc -l
