# Third-party libraries. Which room may use which: the LIBRARIES list of its room() call, checked by .ci/rooms.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(GLIB REQUIRED IMPORTED_TARGET glib-2.0>=2.68 gio-2.0 gio-unix-2.0)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl>=3.0)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.76)
pkg_check_modules(WEBSOCKETS REQUIRED IMPORTED_TARGET libwebsockets>=4.1)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.34)
pkg_check_modules(CONFIG REQUIRED IMPORTED_TARGET libconfig>=1.5)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp>=2.5)
pkg_check_modules(NICE REQUIRED IMPORTED_TARGET nice>=0.1.19)
pkg_check_modules(SRTP REQUIRED IMPORTED_TARGET libsrtp2>=2.3)
pkg_check_modules(AVFORMAT REQUIRED IMPORTED_TARGET libavformat libavutil libavcodec)
pkg_check_modules(AVCODEC REQUIRED IMPORTED_TARGET libavcodec libavutil)
pkg_check_modules(AVFILTER REQUIRED IMPORTED_TARGET libavfilter libswscale libswresample libavutil)
