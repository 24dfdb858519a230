# room(NAME SOURCES … [DEPENDS room …] [LIBRARIES …]): one room of the house.
#
# A room is an OBJECT library `room_NAME` with explicit sources. DEPENDS are the rooms whose public headers it may
# include (base needs no mention); LIBRARIES the third-party libraries that only this room may include. `.ci/rooms` reads
# these lists and compares them with the #include lines that are really there.

function(room NAME)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(room_${NAME} OBJECT ${ROOM_SOURCES})
  target_include_directories(room_${NAME} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(room_${NAME} PUBLIC steno_compile PkgConfig::GLIB)
  # PUBLIC, so that a program that takes the room's objects links what they need.
  foreach(LIBRARY ${ROOM_LIBRARIES})
    target_link_libraries(room_${NAME} PUBLIC ${LIBRARY})
  endforeach()
  set_property(TARGET room_${NAME} PROPERTY STENO_ROOM_DEPENDS "${ROOM_DEPENDS}")
endfunction()

# room_closure(OUT room …): the rooms and all that they depend on, each once.
function(room_closure OUT)
  set(TODO ${ARGN} base)
  set(SEEN "")
  while(TODO)
    list(POP_FRONT TODO ROOM)
    if(NOT ROOM IN_LIST SEEN)
      list(APPEND SEEN ${ROOM})
      get_target_property(NEXT room_${ROOM} STENO_ROOM_DEPENDS)
      if(NEXT)
        list(APPEND TODO ${NEXT})
      endif()
    endif()
  endwhile()
  set(${OUT} ${SEEN} PARENT_SCOPE)
endfunction()

# program_rooms(TARGET room …): link the rooms, with all that they depend on, into TARGET.
function(program_rooms TARGET)
  room_closure(ROOMS ${ARGN})
  foreach(ROOM ${ROOMS})
    target_link_libraries(${TARGET} PRIVATE room_${ROOM})
    target_sources(${TARGET} PRIVATE $<TARGET_OBJECTS:room_${ROOM}>)
  endforeach()
endfunction()

# program(NAME SOURCES … ROOMS …): an installed program made of rooms.
function(program NAME)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;ROOMS" ${ARGN})
  add_executable(${NAME} ${PROGRAM_SOURCES})
  target_link_libraries(${NAME} PRIVATE steno_program)
  program_rooms(${NAME} ${PROGRAM_ROOMS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()
