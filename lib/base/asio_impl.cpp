// The compiled part of Asio, once for all (BOOST_ASIO_SEPARATE_COMPILATION). It lies on the lowest
// floor because the precompiled header brings Asio's error categories into every object file.
#include <boost/asio/impl/src.hpp>
